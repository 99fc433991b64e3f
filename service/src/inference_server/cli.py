"""The command `inference-server`."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from inference_server import __version__, settings

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve models, fetch one, or probe a service; the exit status says how it went."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["fetch"]:
        from inference_server.fetch import command

        return command.main(words[1:])
    if words[:1] == ["probe"]:
        from inference_server.probe import command as probe

        return probe.main(words[1:])
    return _serve(_parser().parse_args(words))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="inference-server",
        description="Serve ONNX models by the Open Inference Protocol.",
        epilog="`inference-server fetch --help` is about bringing a model here, "
        "`inference-server probe --help` about asking a running server.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    settings.add_options(parser)
    return parser


def _serve(options: object) -> int:
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # ours is made per run
    try:
        chosen = settings.load(options)  # type: ignore[arg-type]
    except settings.InvalidSettingsError as error:
        print(f"inference-server: invalid setting\n{error}", file=sys.stderr)
        return USAGE
    from inference_server.security.keys import KeyFileError
    from inference_server.serve import CannotListenError, serve

    try:
        serve(chosen)
    except CannotListenError as error:
        print(f"inference-server: {error}", file=sys.stderr)
        return 1
    except KeyFileError as error:
        print(f"inference-server: {error}", file=sys.stderr)
        return USAGE
    return 0
