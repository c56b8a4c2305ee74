"""The log of one pod, read while the pod runs."""

import threading
from collections.abc import Callable
from typing import Any

import kfp_server_api
import urllib3

from graftwork.kubeflow import logs
from graftwork.kubeflow.connection import Kubeflow

_AGAIN_SECONDS, _SELDOM_SECONDS = 2.0, 30.0
"""After so long a log is read again; ever later where the server does not keep the answer open until the pod ends."""
_LAST_SECONDS = 20.0
"""For so long what a pod said last is waited for."""


class Follower(threading.Thread):
    """Reads a pod's log to its end, anew where the connection is lost, and passes on the events in it.

    Attributes:
        reader: What is known from the log.
        problem: Why there is no log; None where there is, or it is not known yet.
    """

    def __init__(
        self, kubeflow: Kubeflow, run_id: str, node_id: str, tell: Callable[[dict[str, Any]], None], over: bool = False
    ) -> None:
        """Begin to read.

        Args:
            kubeflow: The server.
            run_id: Of the run.
            node_id: Of the pod's node.
            tell: Is given the events, see `logs.Reader.take`, in another thread.
            over: Whether the pod has ended already.
        """
        super().__init__(daemon=True)
        self.reader = logs.Reader()
        self.problem: logs.NoLogError | None = None
        self._kubeflow, self._run_id, self._node_id, self._tell = kubeflow, run_id, node_id, tell
        self._over = threading.Event()
        self._seen, self._left = 0, False
        if over:
            self._over.set()
        self.start()

    def finish(self) -> logs.Reader:
        """Read what is left of a pod that has ended, and return what is known from its log."""
        self._over.set()
        self.join(_LAST_SECONDS)
        return self.reader

    def leave(self) -> None:
        """Read no more."""
        self._left = True
        self._over.set()

    def run(self) -> None:
        """Read, again and again, until the pod has ended."""
        wait = _AGAIN_SECONDS
        while not self._left:
            last = self._over.is_set()
            try:
                self._read(follow=not last)
            except logs.NoLogError as error:
                self.problem = error
            except (urllib3.exceptions.HTTPError, kfp_server_api.ApiException, OSError):
                pass
            if last:
                return
            self._over.wait(wait)
            wait = min(1.5 * wait, _SELDOM_SECONDS)

    def _read(self, follow: bool) -> None:
        for number, line in enumerate(logs.read(self._kubeflow, self._run_id, self._node_id, follow)):
            if self._left:
                return
            if number < self._seen:
                continue
            self._seen, self.problem = number + 1, None
            for event in self.reader.take(line):
                self._tell(event)
