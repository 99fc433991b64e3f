"""The MLflow registry, over REST: from a model version to the place of its file."""

import base64
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from inference_server.fetch import sources
from inference_server.fetch.outcome import MISUSE, NOT_FOUND, FetchError, TemporaryError
from inference_server.fetch.request import shown
from inference_server.models.naming import MODEL_FILE

_TIMEOUT = httpx.Timeout(30, connect=5)
_LOGGED_MODEL = "models:/m-"


def read_version(name: str, version: int) -> Iterator[bytes]:
    """The `model.onnx` of a registered version at MLFLOW_TRACKING_URI; raises FetchError."""
    server = _server()
    location = _get(
        f"{server}/api/2.0/mlflow/model-versions/get-download-uri",
        {"name": name, "version": str(version)},
    ).get("artifact_uri", "")
    if location.startswith(_LOGGED_MODEL):
        location = _logged_model(server, location.removeprefix("models:/"))
    if not location:
        raise FetchError(NOT_FOUND, f"{name} version {version} has no artifacts")
    file = f"{location.rstrip('/')}/{MODEL_FILE}"
    if urlsplit(file).scheme == "mlflow-artifacts":
        path = quote(urlsplit(file).path.lstrip("/"))
        return sources.download(
            f"{server}/api/2.0/mlflow-artifacts/artifacts/{path}", _authorization()
        )
    return sources.read(file)


def _logged_model(server: str, model_id: str) -> str:
    """Artifact location of an MLflow 3 logged model, which a version may point at."""
    answer = _get(f"{server}/api/2.0/mlflow/logged-models/{quote(model_id, safe='')}", {})
    return str(answer.get("model", {}).get("info", {}).get("artifact_uri", ""))


def _server() -> str:
    server = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if urlsplit(server).scheme not in ("http", "https"):
        raise FetchError(
            MISUSE, "MLFLOW_TRACKING_URI is not set to the http(s) address of a tracking server"
        )
    return server


def _get(url: str, parameters: dict[str, str]) -> dict[str, Any]:
    try:
        response = httpx.get(url, params=parameters, headers=_authorization(), timeout=_TIMEOUT)
    except httpx.HTTPError as error:
        raise TemporaryError(f"{shown(url)}: {type(error).__name__}") from None
    if response.status_code == 404:
        asked = " version ".join(parameters.values())
        raise FetchError(NOT_FOUND, f"the registry has no {asked or shown(url)}")
    sources.check_status(url, response.status_code)
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise TemporaryError(f"{shown(url)}: the answer is not MLflow's")
    return answer


def _authorization() -> dict[str, str]:
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if user is None:
        return {}
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
