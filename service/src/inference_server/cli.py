"""The command `inference-server`."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from inference_server import __version__

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
    from inference_server import options

    parser = ArgumentParser(
        prog="inference-server",
        usage="%(prog)s [option ...] | fetch ... | probe ...",
        description="Serve ONNX models by the Open Inference Protocol. Each setting is an option, "
        "an environment variable or a line of SETTINGS_FILE; the first that is given counts.",
        epilog="`inference-server fetch --help` is about bringing a model here, "
        "`inference-server probe --help` about asking a running server.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    options.add_options(parser)
    return parser


def _serve(given: Namespace) -> int:
    from inference_server import options
    from inference_server.settings import InvalidSettingsError

    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # ours is made per run
    try:
        chosen = options.load(given)
    except InvalidSettingsError as error:
        print(f"inference-server: invalid setting\n{error}", file=sys.stderr)
        return USAGE
    from inference_server.security.keys import KeyFileError
    from inference_server.serve import CannotListenError, StateFolderError, serve

    try:
        return serve(chosen)
    except CannotListenError as error:
        print(f"inference-server: {error}", file=sys.stderr)
        return 1
    except (KeyFileError, StateFolderError) as error:
        print(f"inference-server: {error}", file=sys.stderr)
        return USAGE
