"""Argo CD's API server, asked as a person with the command-line tool would ask it."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import kr8s

ARGOCD = "argocd"
SECONDS = 30


class RefusedError(AssertionError):
    """Argo CD refused a request; the message is its own."""


class ArgoCD:
    """A session of the administrator."""

    def __init__(self, url: str, api: Any):
        self._client = httpx.Client(base_url=url, timeout=SECONDS)
        secret = kr8s.objects.Secret.get("argocd-initial-admin-secret", namespace=ARGOCD, api=api)
        password = base64.b64decode(secret.raw["data"]["password"]).decode()
        answer = self._client.post(
            "/api/v1/session", json={"username": "admin", "password": password}
        )
        self._client.headers["Authorization"] = f"Bearer {_body(answer)['token']}"

    def sync(self, name: str, **options: Any) -> None:
        """Begin a sync, as `argocd app sync NAME` does; it returns before the sync ends."""
        _body(self._client.post(f"/api/v1/applications/{name}/sync", json=options))

    def rollback(self, name: str, deployment: int) -> None:
        """As `argocd app rollback NAME ID`; RefusedError with the reason."""
        body = {"name": name, "id": deployment, "prune": False}
        _body(self._client.post(f"/api/v1/applications/{name}/rollback", json=body))

    def get(self, name: str) -> dict[str, Any]:
        """The Application with its status."""
        found: dict[str, Any] = _body(self._client.get(f"/api/v1/applications/{name}"))
        return found

    def history(self, name: str) -> list[dict[str, Any]]:
        """Deployments of an Application, oldest first: `id`, `revision`."""
        found: list[dict[str, Any]] = self.get(name)["status"].get("history", [])
        return found


def _body(answer: httpx.Response) -> Any:
    if answer.is_error:
        try:
            reason = answer.json().get("message", answer.text)
        except ValueError:
            reason = answer.text
        raise RefusedError(f"{answer.request.method} {answer.request.url.path}: {reason}")
    return answer.json()
