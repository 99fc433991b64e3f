"""The command `node-runner`."""

import argparse
import asyncio
import contextlib
import logging
import signal
import ssl
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from aiohttp import web

from node_runner import container_logs, server
from node_runner.images import Images, ImagesError
from node_runner.names import parse_hosts
from node_runner.runner import Options, Runner, started

_NETWORK_OCTETS = 2


class OptionError(Exception):
    """An option cannot be used; the message names it and what to do."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(
        prog="node-runner",
        description="The kubelet of kwok's fake nodes: runs each scheduled pod as processes.",
    )
    found.add_argument("--kubeconfig", type=Path, required=True)
    found.add_argument("--folder", type=Path, required=True, help="where pods and logs are written")
    found.add_argument("--network", required=True, help="first two octets, for example 127.40")
    found.add_argument("--images", type=Path, required=True, help="what stands for each image")
    found.add_argument("--hosts", type=Path, help="addresses of names outside the cluster (YAML)")
    found.add_argument("--listen", required=True, help="address:port of /pods and the metrics")
    found.add_argument(
        "--listen-logs",
        metavar="LISTEN",
        help="address:port of the API server's questions for logs, with --tls-cert and --tls-key",
    )
    found.add_argument("--tls-cert", type=Path)
    found.add_argument("--tls-key", type=Path)
    found.add_argument(
        "--backoff-seconds",
        type=float,
        default=10.0,
        help="first wait of CrashLoopBackOff, doubled up to 300 s (default: %(default)s)",
    )
    return found


def options_of(arguments: argparse.Namespace) -> Options:
    """Check the arguments; OptionError for what cannot be used."""
    octets = arguments.network.split(".")
    if len(octets) != _NETWORK_OCTETS or octets[0] != "127" or not octets[1].isdigit():
        raise OptionError(f"--network {arguments.network}: expected two octets such as 127.40")
    if not arguments.kubeconfig.is_file():
        raise OptionError(f"--kubeconfig {arguments.kubeconfig}: no such file; start the cluster")
    # The folder of the environment, not what its interpreter is a link to.
    places = {"venv": str(Path(sys.prefix)), "root": str(Path(__file__).resolve().parents[3])}
    options = Options(
        kubeconfig=arguments.kubeconfig.absolute(),
        folder=arguments.folder.absolute(),
        network=arguments.network,
        images=arguments.images.absolute(),
        places=places,
        hosts=_hosts(arguments.hosts),
        backoff_seconds=arguments.backoff_seconds,
    )
    Images(options.images, places).find("")
    return options


def _hosts(path: Path | None) -> dict[tuple[str, int], str]:
    if path is None:
        return {}
    try:
        return parse_hosts(yaml.safe_load(path.read_text()) or {})
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise OptionError(f"--hosts {path}: {error}") from error


@dataclass(frozen=True)
class Site:
    """One address at which the runner answers."""

    application: Callable[[Runner], web.Application]
    listen: str
    tls: ssl.SSLContext | None = None


def sites_of(arguments: argparse.Namespace) -> list[Site]:
    """Check where to listen; OptionError for a certificate that cannot be used."""
    sites = [Site(server.application, arguments.listen)]
    if arguments.listen_logs:
        if not (arguments.tls_cert and arguments.tls_key):
            raise OptionError("--listen-logs needs --tls-cert and --tls-key")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            tls.load_cert_chain(arguments.tls_cert, arguments.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise OptionError(f"--tls-cert {arguments.tls_cert}: {error}") from error
        sites.append(Site(container_logs.application, arguments.listen_logs, tls))
    return sites


async def serve(options: Options, sites: Sequence[Site]) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with started(options) as runner, contextlib.AsyncExitStack() as stack:
        for site in sites:
            answers = web.AppRunner(site.application(runner), access_log=None)
            await answers.setup()
            stack.push_async_callback(answers.cleanup)
            host, _, port = site.listen.rpartition(":")
            await web.TCPSite(answers, host, int(port), ssl_context=site.tls).start()
        await stop.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # kr8s knows the versions of its own time; a kubelet's calls are the same in the next ones.
    warnings.filterwarnings("ignore", message="Kubernetes version .* is not supported")
    arguments = parser().parse_args(argv)
    try:
        options, sites = options_of(arguments), sites_of(arguments)
        options.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(options, sites))
    except (OptionError, ImagesError, OSError, ValueError) as error:
        print(f"node-runner: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
