"""Argo CD, asked as a person asks it: with its command-line tool, through its API server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kr8s

ARGOCD = "argocd"
SECONDS = 60


class RefusedError(AssertionError):
    """Argo CD refused a request; the message is its own."""


class ArgoCD:
    """A session of the administrator; `program` is the argocd command, `folder` its own."""

    def __init__(self, program: Path, url: str, folder: Path, api: Any):
        self._program, self._config = program, folder / "config"
        folder.mkdir(parents=True, exist_ok=True)
        secret = kr8s.objects.Secret.get("argocd-initial-admin-secret", namespace=ARGOCD, api=api)
        password = base64.b64decode(secret.raw["data"]["password"]).decode()
        address = urlsplit(url)
        how = "--plaintext" if address.scheme == "http" else "--insecure"
        words = (
            "--username",
            "admin",
            "--password",
            password,
            how,
            "--grpc-web",
            "--skip-test-tls",
        )
        self._run("login", address.netloc, *words)

    def sync(self, name: str) -> None:
        """Begin a sync; it returns before the sync ends."""
        self._run("app", "sync", name, "--async")

    def rollback(self, name: str, deployment: int) -> None:
        """Go back to a deployment of the history; RefusedError with the reason."""
        self._run("app", "rollback", name, str(deployment), "--timeout", "30")

    def diff(self, name: str) -> str:
        """How the cluster differs from the commit; empty where it does not."""
        try:
            return self._run("app", "diff", name, "--refresh")
        except RefusedError as refused:
            return str(refused)

    def get(self, name: str) -> dict[str, Any]:
        """The Application with its status."""
        found: dict[str, Any] = json.loads(self._run("app", "get", name, "-o", "json"))
        return found

    def history(self, name: str) -> list[dict[str, Any]]:
        """Deployments of an Application, oldest first: `id`, `revision`."""
        found: list[dict[str, Any]] = self.get(name)["status"].get("history", [])
        return found

    def _run(self, *words: str) -> str:
        argv: Sequence[str | Path] = (self._program, "--config", self._config, *words)
        said = "argocd " + " ".join(words[:3])
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
                env={**os.environ, "HOME": str(self._config.parent)},
            )
        except subprocess.TimeoutExpired:
            raise RefusedError(f"{said}: no answer in {SECONDS} s") from None
        if done.returncode != 0:
            raise RefusedError(f"{said}: {(done.stderr or done.stdout).strip()}")
        return done.stdout
