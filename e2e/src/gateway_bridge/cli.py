"""gateway-bridge: Gateway API objects of an API server -> Envoy Gateway's folder, and back."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from gateway_bridge.bridge import Bridge, Places
from gateway_bridge.translate import Settings
from gateway_bridge.view import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; 0 when stopped, 1 when it cannot start."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="kr8s")  # It knows Kubernetes up to 1.35 only.
    try:
        asyncio.run(_run(options))
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        print(f"gateway-bridge: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(options: argparse.Namespace) -> None:
    settings = Settings(
        http_port=options.http_port,
        https_port=options.https_port,
        admin=options.admin,
        xds=options.xds,
    )
    places = Places(
        kubeconfig=options.kubeconfig,
        folder=options.folder,
        pods=options.pods,
        admin=f"http://{options.admin}",
        log=options.log,
        address=options.admin.rsplit(":", 1)[0],
    )
    bridge = Bridge(places, settings)
    host, port = options.listen.rsplit(":", 1)
    await serve(host, int(port), bridge.routes)
    await bridge.run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway-bridge", description=__doc__)
    add = parser.add_argument
    add("--kubeconfig", type=Path, required=True)
    add("--folder", type=Path, required=True, help="the folder that Envoy Gateway watches")
    add("--pods", required=True, help="URL of the node runner's pods")
    add("--http-port", type=int, required=True, help="stands for port 80 of a Gateway")
    add("--https-port", type=int, required=True, help="stands for port 443 of a Gateway")
    add("--admin", required=True, help="host:port at which Envoy's admin API is to listen")
    add("--xds", required=True, help="host:port of Envoy Gateway's xDS server")
    add("--log", type=Path, required=True, help="Envoy Gateway's log: its statuses stand there")
    add("--listen", required=True, help="host:port of GET /routes")
    return parser
