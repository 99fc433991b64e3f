"""Remove the generated ConfigMaps that no Rollout and no ReplicaSet refers to.

Argo CD does not prune them: the pods of the previous release still read theirs. Runs in the
cluster, in the image of the inference server, and needs the standard library only.
"""

import argparse
import json
import os
import ssl
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPSHandler, OpenerDirector, Request, build_opener

SELECTOR = "app.kubernetes.io/component=model-release"
# A sync writes the ConfigMap before the Rollout that names it.
MINIMUM_AGE = timedelta(hours=1)
TIMEOUT_SECONDS = 10
CREDENTIALS = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Manifest = dict[str, Any]


def referenced(pod_spec: Manifest) -> Iterator[str]:
    """Yield the name of every ConfigMap that a pod with this spec reads."""
    for container in [*pod_spec.get("initContainers", []), *pod_spec.get("containers", [])]:
        for source in container.get("envFrom", []):
            yield source.get("configMapRef", {}).get("name", "")
        for variable in container.get("env", []):
            yield variable.get("valueFrom", {}).get("configMapKeyRef", {}).get("name", "")
    for volume in pod_spec.get("volumes", []):
        yield volume.get("configMap", {}).get("name", "")
        for source in volume.get("projected", {}).get("sources", []):
            yield source.get("configMap", {}).get("name", "")


def leftovers(
    config_maps: Iterable[Manifest],
    owners: Iterable[Manifest],
    now: datetime,
    minimum_age: timedelta = MINIMUM_AGE,
) -> list[Manifest]:
    """Return the ConfigMaps, oldest first, that are old enough and that no owner refers to.

    `owners` are Rollouts and ReplicaSets: both hold a pod template under `spec.template`.
    """
    used = {name for owner in owners for name in referenced(owner["spec"]["template"]["spec"])}
    found = [
        config_map
        for config_map in config_maps
        if config_map["metadata"]["name"] not in used and now - _created(config_map) >= minimum_age
    ]
    return sorted(found, key=_created)


def _created(manifest: Manifest) -> datetime:
    return datetime.fromisoformat(manifest["metadata"]["creationTimestamp"])


class Cluster:
    """One namespace of a Kubernetes API server."""

    def __init__(self, address: str, namespace: str, token: str, opener: OpenerDirector) -> None:
        self._address = address
        self._namespace = quote(namespace, safe="")
        self._token = token
        self._opener = opener

    def items(self, group: str, plural: str, selector: str = "") -> list[Manifest]:
        """Return all objects of a kind; `group` is `api/v1` or `apis/<group>/<version>`."""
        query = f"?labelSelector={quote(selector)}" if selector else ""
        answer = self._send("GET", f"/{group}/namespaces/{self._namespace}/{plural}{query}")
        return list(answer["items"])

    def delete_config_map(self, config_map: Manifest) -> bool:
        """Delete it; False if it changed (409) or went (404) since it was listed."""
        metadata = config_map["metadata"]
        path = f"/api/v1/namespaces/{self._namespace}/configmaps/{quote(metadata['name'], safe='')}"
        unchanged = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        try:
            self._send("DELETE", path, {"preconditions": unchanged})
        except HTTPError as error:
            if error.code not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                raise
            return False
        return True

    def _send(self, method: str, path: str, body: Manifest | None = None) -> Manifest:
        request = Request(  # noqa: S310 - the address is the API server's
            self._address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return dict(json.load(response))


def remove_leftovers(
    cluster: Cluster, now: datetime, minimum_age: timedelta = MINIMUM_AGE
) -> list[str]:
    """Delete what `leftovers` finds; return the names.

    Raises LookupError where nothing could be a reference, OSError when the server refuses.
    """
    config_maps = cluster.items("api/v1", "configmaps", SELECTOR)
    owners = [
        *cluster.items("apis/apps/v1", "replicasets"),
        *cluster.items("apis/argoproj.io/v1alpha1", "rollouts"),
    ]
    if not owners:
        # An empty answer is a wrong namespace or a missing right, never a reason to delete all.
        raise LookupError("no ReplicaSet and no Rollout in the namespace: nothing is deleted")
    return [
        config_map["metadata"]["name"]
        for config_map in leftovers(config_maps, owners, now, minimum_age)
        if cluster.delete_config_map(config_map)
    ]


def connect(credentials: Path = CREDENTIALS) -> Cluster:
    """Return the cluster that this pod runs in, seen with the pod's own service account.

    Raises KeyError for a variable and OSError for a file that a pod would have.
    """
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    context = ssl.create_default_context(cafile=str(credentials / "ca.crt"))
    return Cluster(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        os.environ["NAMESPACE"],
        (credentials / "token").read_text().strip(),
        build_opener(HTTPSHandler(context=context)),
    )


def parse(arguments: Sequence[str]) -> timedelta:
    """Return the minimum age that the command line asks for."""
    parser = argparse.ArgumentParser(prog="config-retention", description=__doc__)
    parser.add_argument(
        "--minimum-age-seconds",
        type=int,
        default=int(MINIMUM_AGE.total_seconds()),
        help="leave younger ones alone (default: %(default)s)",
    )
    return timedelta(seconds=parser.parse_args(arguments).minimum_age_seconds)


def main(arguments: Sequence[str] = ()) -> int:
    """Run once; 0 when every leftover is gone, 1 with the reason on stderr."""
    minimum_age = parse(arguments)
    try:
        removed = remove_leftovers(connect(), datetime.now(UTC), minimum_age)
    except KeyError as error:
        print(f"config-retention: {error.args[0]} is not set; run this in a pod", file=sys.stderr)
        return 1
    except (LookupError, OSError) as error:
        print(f"config-retention: {error}", file=sys.stderr)
        return 1
    for name in removed:
        print(f"deleted ConfigMap {name}")
    print(f"{len(removed)} deleted")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
