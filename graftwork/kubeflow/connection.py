"""The connection to a Kubeflow Pipelines server, and what goes wrong with it in plain words."""

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import kfp
import kfp_server_api
import requests
import urllib3
from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

from graftwork.errors import UserError, in_one_line
from graftwork.kubeflow import names

HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"  # of KFP's own
TOKEN_VARIABLE = "KF_PIPELINES_TOKEN"
COOKIE_VARIABLE = "KF_PIPELINES_COOKIE"
_IN_CLUSTER_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")  # where KFP's documentation mounts it
_TIMEOUT = (10, 60)  # seconds to connect, and to wait for an answer
_PAGE = 100
_UNEXPECTED = "this does not answer as Kubeflow Pipelines does"
_LOST = (urllib3.exceptions.HTTPError, requests.exceptions.RequestException, ConnectionError, TimeoutError)


_NAMESPACE_FOR_ALL = "kubeflow"
_PASSES = {408, 429}  # and whatever begins with 5


class NoAnswerError(UserError):
    """What may be otherwise in a moment: a lost connection, a server that is busy or starts anew."""


class Kubeflow:
    """A server that has answered.

    Attributes:
        client: KFP's own client.
        namespace: Of the user, None where the server has one for all.
        where: The server's address, for people.
        kube_context: Of the Kubernetes configuration; None for the current one.
        tag: What the server calls its version, which may be anything; None where it was not asked or does not tell.
    """

    def __init__(
        self,
        host: str | None = None,
        namespace: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        kube_context: str | None = None,
    ) -> None:
        """Connect.

        Args:
            host: URL of the API; None inside a cluster, or to go through the Kubernetes configuration of this machine.
            namespace: Of the user, where the server has many; None where it has one.
            token_file: A file with a bearer token, read anew for every request; None for the environment's or none.
            ca_file: Certificates that the server's is checked against; None for the usual ones.
            kube_context: Of the Kubernetes configuration; None for the current one.

        Raises:
            UserError: The server cannot be reached, does not let the user in, or is no Kubeflow Pipelines server.
        """
        host = host or os.environ.get(HOST_VARIABLE)
        self.host = (host if "://" in host else f"https://{host}").rstrip("/") if host else None
        self.where = self.host or "this cluster's own Kubeflow"
        self.namespace, self.kube_context = namespace, kube_context
        if namespace:
            names.check("the name of the namespace", namespace, names.LABEL)
        for file in (ca_file, token_file):
            if file and not Path(file).is_file():
                raise UserError("the file does not exist", {"file": file})
        credentials = _credentials(token_file)
        ca_file = os.fspath(ca_file) if ca_file else None
        self.tag: str | None = None
        if self.host:
            health = self._check_health(ca_file, credentials)
            tag = health.get("tag_name")
            self.tag = tag if isinstance(tag, str) else None
            if health.get("multi_user") and not namespace:
                problem = "this Kubeflow has a namespace for each team, and none is given"
                raise self._error(problem, "name yours: --namespace NAME")
        with self.saying("connect"), contextlib.redirect_stdout(None), warnings.catch_warnings(action="ignore"):
            self.client = kfp.Client(
                host=self.host,
                namespace=self.runs_in,
                existing_token=None if credentials else os.environ.get(TOKEN_VARIABLE),
                credentials=credentials,
                cookies=os.environ.get(COOKIE_VARIABLE),
                ssl_ca_cert=ca_file,
                kube_context=kube_context,
            )

    def _check_health(
        self, ca_file: str | None, credentials: ServiceAccountTokenVolumeCredentials | None
    ) -> dict[str, Any]:
        """Return what the server says of itself: "multi_user" (a namespace for each team), "tag_name" (its version)."""
        token = credentials._get_token() if credentials else os.environ.get(TOKEN_VARIABLE)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if os.environ.get(COOKIE_VARIABLE):
            headers["Cookie"] = os.environ[COOKIE_VARIABLE]
        url = f"{self.host}/apis/v2beta1/healthz"
        try:
            answer = requests.get(url, headers=headers, timeout=_TIMEOUT, verify=ca_file or True, allow_redirects=False)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema):
            raise self._error("this is no address of a server") from None
        except requests.exceptions.SSLError as error:
            next = "if it is your own authority's: --ca-file FILE"
            raise self._error("the server's certificate is not trusted", next, reason=_innermost(error)) from None
        except requests.exceptions.RequestException as error:
            next = "check the address, and that a port-forward or VPN is up"
            raise self._error("Kubeflow cannot be reached", next, reason=_innermost(error)) from None
        if answer.is_redirect or answer.status_code in (401, 403) or "html" in answer.headers.get("Content-Type", ""):
            raise self._not_let_in(_reason(answer.text) if answer.status_code in (401, 403) else "a page to log in")
        if answer.status_code >= 400:
            text = f"{answer.status_code} {answer.reason}"
            causes = ["is a path missing in it?", "or is it Kubeflow Pipelines 1, which has no such address?"]
            raise self._error(_UNEXPECTED, causes, asked=url, answer=text)
        with contextlib.suppress(ValueError):
            if isinstance(health := answer.json(), dict):
                return health
        raise self._error(_UNEXPECTED, asked=url, answer=answer.text[:80])

    def _not_let_in(self, reason: str) -> UserError:
        next = [
            "put a fresh one into a file, and name it: --token-file FILE",
            f"or into the environment: {TOKEN_VARIABLE}, or a session's cookie: {COOKIE_VARIABLE}",
        ]
        return self._error(
            "Kubeflow does not let you in: the token is missing, wrong or has expired", next, reason=reason
        )

    def _error(
        self, problem: str, next: str | list[str] | None = None, kind: type[UserError] = UserError, /, **facts: str
    ) -> UserError:
        return kind(problem, {"host": self.where, **facts}, next)

    @contextlib.contextmanager
    def saying(self, doing: str) -> Iterator[None]:
        """Turn what the client raises while `doing` something into a UserError in plain words."""
        try:
            yield
        except kfp_server_api.ApiException as error:
            raise self._refusal(doing, error) from None
        except _LOST as error:
            problem = f"the connection was lost on trying to {doing}"
            raise self._error(problem, "try again", NoAnswerError, reason=_innermost(error)) from None

    def _refusal(self, doing: str, error: Any) -> UserError:
        reason = _reason(error.body or error.reason)
        if error.status == 401:
            return self._not_let_in(reason)
        facts = {"reason": reason, **({"namespace": self.namespace} if self.namespace else {})}
        if error.status == 403:
            return self._error(f"Kubeflow does not allow you to {doing}", "is the namespace yours?", **facts)
        passes = error.status in _PASSES or (error.status or 0) >= 500
        return self._error(f"Kubeflow refused to {doing}", None, NoAnswerError if passes else UserError, **facts)

    def run(self, run_id: str) -> Any:
        """Return a run as it is now.

        Raises:
            NoAnswerError: The server does not answer for the moment.
            UserError: There is no such run, or the user is not let in.
        """
        with self.saying(f"look at the run {run_id}"):
            run = self.client.get_run(run_id)
        if run.run_id != run_id:  # a page, of which KFP's client makes a run of nothing
            raise self._not_let_in("a page to log in")
        return run

    def get(self, path: str, query: Mapping[str, str], timeout: tuple[float, float] = _TIMEOUT) -> Any:
        """Ask for something that KFP's client has no function for, with its credentials.

        Args:
            path: Below the host's address.
            query: What comes behind the question mark.
            timeout: Seconds to connect, and between two pieces of the answer.

        Returns:
            urllib3's answer, whose body is not read yet.

        Raises:
            kfp_server_api.ApiException: The status is not 2xx.
            urllib3.exceptions.HTTPError: The connection fails.
        """
        return self.client.runs.api_client.call_api(
            path,
            "GET",
            query_params=list(query.items()),
            header_params={"Accept": "*/*"},
            auth_settings=["Bearer"],
            _preload_content=False,
            _return_http_data_only=True,
            _request_timeout=timeout,
        )

    def link(self, path: str) -> str:
        """Return the address of a page of Kubeflow's interface."""
        return f"{os.environ.get('KF_PIPELINES_UI_ENDPOINT') or self.host or '/pipeline'}/#/{path}"

    @property
    def runs_in(self) -> str:
        """The namespace of the pods: that of the user, or the one that there is for all."""
        return self.namespace or _NAMESPACE_FOR_ALL

    def link_to_run(self, run_id: str) -> str:
        """Return the address of a run's page."""
        return self.link(f"runs/details/{run_id}")

    def find(self, list_: Callable[..., Any], items: str, name: str, **scope: Any) -> list[Any]:
        """Return everything of a display name.

        Args:
            list_: The client's function that lists such things, page by page.
            items: Under which attribute of its answer they are.
            name: Their display name.
            scope: What else to pass to the function.
        """
        predicate = {"operation": 1, "key": "display_name", "stringValue": name}  # 1: equals
        return list(self.every(list_, items, filter=json.dumps({"predicates": [predicate]}), **scope))

    def every(self, list_: Callable[..., Any], items: str, **scope: Any) -> Iterator[Any]:
        """Yield everything that a function of the client lists, page after page."""
        token = ""
        while True:
            with self.saying(f"list {items.replace('_', ' ')}"):
                page = list_(page_token=token, page_size=_PAGE, **scope)
            yield from getattr(page, items) or []  # an empty list is left out of the answer
            token = page.next_page_token
            if not token:
                return


def _credentials(token_file: str | os.PathLike[str] | None) -> ServiceAccountTokenVolumeCredentials | None:
    """Return what reads the token from a file for every request, so that a renewed one is used."""
    if token_file:
        return ServiceAccountTokenVolumeCredentials(os.fspath(token_file))
    mounted = os.environ.get("KF_PIPELINES_SA_TOKEN_PATH") or str(_IN_CLUSTER_TOKEN)
    if not os.environ.get(TOKEN_VARIABLE) and Path(mounted).is_file():
        return ServiceAccountTokenVolumeCredentials(mounted)
    return None


def _reason(body: Any) -> str:
    """Return the sentence inside a server's answer."""
    try:
        content = json.loads(body)
        text = content.get("message") or content.get("error_message") or content.get("error") or body
    except (ValueError, TypeError, AttributeError):
        text = body
    return in_one_line(text) or "none given"


def _innermost(error: BaseException) -> str:
    """Return what lies at the bottom of an error: the reason without the layers that passed it on."""
    inner = error
    while True:
        deeper = getattr(inner, "reason", None)
        if not isinstance(deeper, BaseException):
            deeper = next((part for part in inner.args if isinstance(part, BaseException)), inner.__cause__)
        if deeper is None or deeper is inner:
            break
        inner = deeper
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return text.rpartition(">: ")[2].rpartition("): ")[2]
