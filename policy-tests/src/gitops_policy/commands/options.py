"""The options that decide what is checked, and the settings that they and a file add up to."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from gitops_policy.config import FAIL_ON, PROFILES, Config, ConfigError

# argparse names the class of what add_subparsers returns privately.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options that override the configuration file."""
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="configuration (default: .gitops-policy.yaml)")
    add("--profile", choices=PROFILES, help="default: recommended")
    add("--only", action="append", metavar="RULE", help="this rule only; repeatable")
    add("--skip", action="append", metavar="RULE", help="not this rule; repeatable")
    add("--fail-on", choices=FAIL_ON, help="lowest severity that exits 1 (default: error)")
    add("--kubernetes-version", metavar="X.Y", help=f"default: {Config().kubernetes_version}")
    add("--registry", action="append", metavar="PREFIX", help="allowed image registry; repeatable")
    add("--rules", action="append", type=Path, metavar="DIR", help="rules of your own; repeatable")
    add("--schemas", type=Path, metavar="FOLDER", help="CRD schemas (default: .tools/schemas)")
    add("--exemptions", type=Path, metavar="FILE", help="ledger of exemptions")


def config_from(options: argparse.Namespace, paths: Iterable[str]) -> Config:
    """Return the settings of the configuration file with those of the command line above them.

    Raises ConfigError or ManifestError for a setting that makes no sense.
    """
    settings = {**_from_file(options.config, paths), **_from_options(options)}
    config = Config(**settings)
    from gitops_policy.apis.catalogue import is_known_version, known_versions

    if not is_known_version(config.kubernetes_version):
        raise ConfigError(
            f"kubernetes_version: no schemas of Kubernetes {config.kubernetes_version!r}; "
            f"known: {', '.join(known_versions())}"
        )
    if config.exemptions and not config.exemptions.is_file():
        raise ConfigError(f"exemptions: no such file: {config.exemptions}")
    if config.schemas and not config.schemas.is_dir():
        raise ConfigError(f"schemas: no such folder: {config.schemas}")
    return config


def _from_file(named: Path | None, paths: Iterable[str]) -> dict[str, Any]:
    from gitops_policy.config_file import find_config, read_config

    file = named or find_config(paths)
    return read_config(file, trusted=named is not None) if file else {}


def _from_options(options: argparse.Namespace) -> dict[str, Any]:
    given = {
        "profile": options.profile,
        "only": _names(options.only),
        "skip": _names(options.skip),
        "fail_on": options.fail_on,
        "kubernetes_version": options.kubernetes_version,
        "registries": tuple(options.registry or ()),
        "rules": tuple(options.rules or ()),
        "schemas": options.schemas,
        "exemptions": options.exemptions,
    }
    return {name: value for name, value in given.items() if value}


def _names(values: list[str] | None) -> tuple[str, ...]:
    """Read names, each option one or several with commas between them."""
    return tuple(name.strip() for value in values or () for name in value.split(",") if name)
