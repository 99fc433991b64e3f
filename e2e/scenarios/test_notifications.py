"""Notifications: an aborted rollout and a failed sync reach the webhook once, with links."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from local_cluster.cluster import PORTS

from e2e.scenarios import facts
from e2e.scenarios.argo_cd import ARGOCD
from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.manifests import add_resource
from e2e.scenarios.models import Models
from e2e.scenarios.places import Places

pytestmark = pytest.mark.local

CANARY_SECONDS = 90
TOLD_SECONDS = 60
FAILED_SECONDS = 120
# Time for the comparison that is asked for, and for a second message to come.
ONCE_SECONDS = 10
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "refused"},
    "stringData": {"a": "1"},
}

Payload = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One request to the webhook."""

    method: str
    authorization: str | None
    kind: str | None
    body: Payload

    @property
    def payload(self) -> Payload:
        return dict(self.body["client_payload"])


class Webhook(ThreadingHTTPServer):
    """Keeps what it is told; it knows nothing of who subscribed."""

    def __init__(self, address: tuple[str, int]):
        super().__init__(address, _Handler)
        self.calls: list[Call] = []

    def of(self, environment: Environment, event: str) -> list[Call]:
        return [
            call
            for call in list(self.calls)
            if call.body["event_type"] == event
            and call.payload["application"] == environment.application
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        authorization, kind = self.headers["Authorization"], self.headers["Content-Type"]
        self.server.calls.append(Call(self.command, authorization, kind, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing beside the test's own output."""


@pytest.fixture(scope="module")
def webhook(places: Places) -> Iterator[Webhook]:
    """Listens where the local cluster's notifications go."""
    if places.local is None:
        pytest.skip("another cluster's notifications go elsewhere")
    server = Webhook((places.local.host, PORTS["release-webhook"]))
    thread = threading.Thread(target=server.serve_forever, name="webhook", daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.mark.limit(420)
def test_an_abort_and_a_failed_sync_are_told_once(
    webhook: Webhook, staging: Environment, models: Models, evidence: Evidence
) -> None:
    stable = staging.timeline.now("rollout.stable")
    bad = staging.release(models["good"])
    staging.wait_synced(bad)
    staging.wait("a canary", lambda seen: seen.now("rollout.current") != stable, CANARY_SECONDS)
    abort(staging)
    staging.wait_aborted()
    evidence.mark("aborted", begin := time.time())
    number = revision(staging)
    staging.wait(
        "the webhook to be told of the abort",
        lambda _: webhook.of(staging, "release-aborted"),
        TOLD_SECONDS,
    )
    evidence.note("told of the abort after", f"{time.time() - begin:.1f} s")

    staging.commit("Bring a Secret", lambda it: bring_secret(staging, it))
    staging.wait(
        "the webhook to be told of the failed sync",
        lambda _: webhook.of(staging, "sync-failed"),
        FAILED_SECONDS,
    )
    staging.refresh()
    time.sleep(ONCE_SECONDS)

    (aborted,) = webhook.of(staging, "release-aborted")
    assert aborted.payload.pop("at")
    assert aborted.payload | {"at": ""} == {
        "application": staging.application,
        "environment": staging.name,
        "commit": bad,
        "verdict": "aborted",
        "reason": f"RolloutAborted: Rollout aborted update to revision {number}",
        "at": "",
        "url": link(staging),
    }
    (failed,) = webhook.of(staging, "sync-failed")
    assert failed.payload | {"at": "", "reason": ""} == {
        "application": staging.application,
        "reason": "",
        "at": "",
        "url": link(staging),
    }
    assert "one or more synchronization tasks are not valid" in failed.payload["reason"]
    for call in (aborted, failed):
        assert call.payload["at"]
        assert call.method == "POST"
        assert call.authorization == f"Bearer {token(staging)}"
        assert call.kind == "application/json"
        assert_leads_to(call.payload["url"], staging)


def abort(environment: Environment) -> None:
    """What `kubectl argo rollouts abort` does."""
    found = environment.find("rollouts.argoproj.io", facts.ROLLOUT)
    found.patch({"status": {"abort": True}}, subresource="status")


def revision(environment: Environment) -> str:
    """Which of its releases the Rollout asks for, counted by the controller."""
    found = environment.find("rollouts.argoproj.io", facts.ROLLOUT)
    return str(found.raw["metadata"]["annotations"]["rollout.argoproj.io/revision"])


def bring_secret(environment: Environment, repository: Path) -> None:
    """The project of an environment allows no Secret."""
    add_resource(environment.overlay(repository), "secret.yaml", SECRET)


def link(environment: Environment) -> str:
    return f"{environment.control.places.argocd}/applications/{ARGOCD}/{environment.application}"


def token(environment: Environment) -> str:
    secret = environment.find("secrets", "argocd-notifications-secret", ARGOCD)
    return base64.b64decode(secret.raw["data"]["release-webhook-token"]).decode()


def assert_leads_to(url: str, environment: Environment) -> None:
    """Argo CD answers there, and knows the Application of the link's last two words."""
    address, path = urlsplit(url), urlsplit(url).path
    health = httpx.get(f"{address.scheme}://{address.netloc}/healthz", timeout=10)
    assert health.is_success
    _, word, namespace, name = path.split("/")
    assert word == "applications"
    found = environment.control.argocd.get(f"{namespace}/{name}")
    assert found["spec"]["source"]["targetRevision"] == environment.branch.name
