"""Where Kubeflow is: the options that say so, and the connection to it."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from graftwork.kubeflow.connection import Kubeflow

Host = Annotated[str | None, typer.Option(help="URL of the API. Else: KF_PIPELINES_ENDPOINT, or this cluster's own.")]
Namespace = Annotated[str | None, typer.Option(help="Yours, where Kubeflow has one for each team.")]
TokenFile = Annotated[str | None, typer.Option(help="File with a bearer token. Else: KF_PIPELINES_TOKEN.")]
CaFile = Annotated[str | None, typer.Option(help="Certificates to check the server's against.")]
KubeContext = Annotated[str | None, typer.Option(help="Without a host: context of the Kubernetes configuration.")]
ADDRESS = {
    "host": (Host, None),
    "namespace": (Namespace, None),
    "token_file": (TokenFile, None),
    "ca_file": (CaFile, None),
    "kube_context": (KubeContext, None),
}
"""The options that say where Kubeflow is, for `takes`."""
Command = Callable[..., None]


def takes(name: str, group: dict[str, tuple[Any, Any]]) -> Callable[[Command], Command]:
    """Give a command a group of options; it gets them together, as the argument of that name."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            command(**{name: {key: given.pop(key) for key in group}}, **given)

        signature = inspect.signature(command)
        kept = [parameter for parameter in signature.parameters.values() if parameter.name != name]
        options = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in group.items()
        ]
        run.__signature__ = signature.replace(parameters=[*kept, *options])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*kept, *options)}
        return run

    return decorate


def connect(options: dict[str, Any]) -> "Kubeflow":
    """Connect to the server at an ADDRESS."""
    from graftwork.kubeflow.connection import Kubeflow

    return Kubeflow(**options)
