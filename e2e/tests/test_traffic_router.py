"""The test double of the traffic router plugin, by its own Go tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_traffic_router_writes_what_the_controller_asks_for() -> None:
    go = shutil.which("go") or shutil.which(ROOT / ".tools" / "go" / "bin" / "go")
    if go is None or not (ROOT / ".tools" / "bin" / "gatewayapi-traffic-router").exists():
        pytest.skip(
            "the traffic router is not built here: python tools/install.py e2e/traffic-router"
        )
    # As tools/install.py builds: so the packages are compiled already.
    tests = subprocess.run(
        [go, "test", "-trimpath", "-mod=readonly", "-vet=off", "./..."],
        cwd=ROOT / "e2e" / "traffic-router",
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr
