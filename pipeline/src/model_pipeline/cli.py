"""The command `model-pipeline`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model_pipeline.errors import PipelineError
from model_pipeline.pipeline import (
    DEFAULT_NAME,
    DEFAULT_TRACKING_URI,
    TrainingConfig,
    register_model,
    train,
)
from model_pipeline.release_file import ModelRelease


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: progress on stderr, the release file's text on stdout."""
    options = _parser().parse_args(arguments)
    try:
        release = _train(options) if options.command == "train" else _register(options)
    except PipelineError as error:
        print(f"model-pipeline: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("model-pipeline: interrupted", file=sys.stderr)
        return 130
    sys.stdout.write(release.to_env())
    return 0


def _train(options: argparse.Namespace) -> ModelRelease:
    config = TrainingConfig(
        name=options.name,
        tracking_uri=options.tracking_uri,
        seed=options.seed,
        git_sha=options.git_sha,
        release_file=options.release_file,
        output=options.output,
    )
    return train(config, progress=_progress).release


def _register(options: argparse.Namespace) -> ModelRelease:
    return register_model(
        options.file,
        name=options.name,
        tracking_uri=options.tracking_uri,
        dataset_version=options.dataset_version,
        git_sha=options.git_sha,
        release_file=options.release_file,
        progress=_progress,
    )


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="model-pipeline",
        description="Trains and registers models. Exit status: 0 done, 1 stopped by a gate, "
        "2 misuse, unreadable input or no registry.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    training = commands.add_parser(
        "train",
        help="train the example model, judge it, register it",
        description="Trains on scikit-learn's breast cancer data, runs the quality gates, "
        "exports to ONNX, registers the next version as challenger and prints model-release.env.",
    )
    training.add_argument("--seed", type=_seed, default=0, help="of the network (default 0)")
    training.add_argument(
        "--output", type=Path, metavar="DIR", help="also write model.onnx and report.json there"
    )
    registering = commands.add_parser(
        "register",
        help="register an existing ONNX file",
        description="Registers an ONNX file as the next version and prints model-release.env. "
        "No quality gate is run: only that the file is valid ONNX with the inputs and outputs "
        "of the model contract. What it predicts is for the canary to judge.",
    )
    registering.add_argument("file", type=Path, metavar="FILE.onnx")
    registering.add_argument(
        "--dataset-version",
        metavar="YYYY-MM-DD-HHMMSS",
        help="the data it was trained on (default: the version pinned in this package)",
    )
    for command in (training, registering):
        _add_common(command)
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--name", default=DEFAULT_NAME, help=f"default {DEFAULT_NAME}")
    command.add_argument(
        "--tracking-uri",
        metavar="URI",
        default=os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI),
        help="sqlite:///PATH or http(s)://HOST:PORT "
        f"(default: MLFLOW_TRACKING_URI, else {DEFAULT_TRACKING_URI})",
    )
    command.add_argument(
        "--release-file", type=Path, metavar="PATH", help="also write model-release.env there"
    )
    command.add_argument(
        "--git-sha", metavar="SHA", help="commit of the training code (default: HEAD)"
    )


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}: must be an integer from 0 to {2**32 - 1}")
    return int(text)
