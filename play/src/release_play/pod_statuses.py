"""Stands in for kube-state-metrics: what the play knows of its own pods, to be scraped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from release_play.pods import Pod


class PodStatuses:
    """Serves the statuses of `pods` on `address` until the context is left."""

    def __init__(self) -> None:
        self.pods: Sequence[Pod] = []
        statuses = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = pod_status_metrics(statuses.pods).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                # A scrape that ran into its timeout has gone away, and misses nothing.
                with contextlib.suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """A scrape every second is no news."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="pod statuses", daemon=True
        )

    def __enter__(self) -> PodStatuses:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def pod_status_metrics(pods: Sequence[Pod]) -> str:
    """The metrics and labels that kube-state-metrics has for these pods, as text.

    Nothing here starts a server again, so none was restarted; one that has ended says why, and
    as on a cluster there is no such series before.
    """
    restarts = ["# TYPE kube_pod_container_status_restarts_total counter"]
    ended = ["# TYPE kube_pod_container_status_terminated_reason gauge"]
    for pod in pods:
        target = pod.target
        labels = (
            f'namespace="{target.namespace}",pod="{target.pod}",uid="{pod.process.popen.pid}",'
            f'container="{target.container}"'
        )
        restarts.append(f"kube_pod_container_status_restarts_total{{{labels}}} 0")
        if not pod.process.alive:
            reason = "Error" if pod.process.popen.returncode else "Completed"
            labels += f',reason="{reason}"'
            ended.append(f"kube_pod_container_status_terminated_reason{{{labels}}} 1")
    return "\n".join([*restarts, *ended, ""])
