"""The version of this package."""

from __future__ import annotations


def installed_version() -> str:
    """Return the installed version, 0 where the package runs without being installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("gitops-policy")
    except PackageNotFoundError:
        return "0"
