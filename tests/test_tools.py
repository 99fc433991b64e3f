"""The tool installer: builds once, names what failed, leaves nothing half-built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A tree with only the pins, as on a machine that has built nothing."""
    shutil.copytree(
        ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


INTERN = "github.com/josharian/intern"
"""A module of one small file, whose hash a go.sum of ours has."""
BARE_PATH = ":".join(p for p in os.environ["PATH"].split(":") if ".tools" not in p)


def install(checkout: Path, *families: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, checkout / "tools" / "install.py", *families],
        env={**os.environ, "PATH": BARE_PATH, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_unknown_family_is_misuse(checkout: Path) -> None:
    result = install(checkout, "kustomise")
    assert result.returncode == 2
    assert "kustomise" in result.stderr


def test_no_network_is_said_with_the_tool_and_what_to_do(checkout: Path) -> None:
    cache = {"GOMODCACHE": str(checkout / "empty"), "GOPROXY": "off", "GOFLAGS": "-modcacherw"}
    result = install(checkout, "kustomize", **cache)
    assert result.returncode == 1
    assert "building kustomize 5.8.1 failed" in result.stderr
    assert "Check the network" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list((checkout / ".tools" / "bin").iterdir())


def test_a_second_install_builds_nothing(checkout: Path) -> None:
    first = install(checkout, "schemas")
    assert first.returncode == 0, first.stderr
    assert "custom resource schemas written" in first.stderr
    second = install(checkout, "schemas")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")


def test_the_schema_of_a_report_format_is_copied(checkout: Path) -> None:
    assert install(checkout, "report-schemas").returncode == 0
    schema = checkout / ".tools/report-schemas/sarif-schema-2.1.0.json"
    assert '"title": "Static Analysis Results Format (SARIF) Version 2.1.0' in schema.read_text()


def test_a_program_of_our_own_is_built_with_the_files_it_needs(checkout: Path) -> None:
    pin = checkout / "tools" / "pod-security" / "build.toml"
    scripts = '[scripts]\n"k8s.io/pod-security-admission" = ["webhook/Makefile"]\n'
    pin.write_text(f"{pin.read_text()}\n{scripts}")
    # A program of that name on the machine is not ours, whatever it says of itself.
    path = f"{fake_program(checkout / 'machine', 'pod-security', '0.36.3').parent}:{BARE_PATH}"
    result = install(checkout, "pod-security", PATH=path)
    assert result.returncode == 0, result.stderr
    assert "pod-security 0.36.3 built" in result.stderr
    assert not (checkout / ".tools" / "bin" / "pod-security").is_symlink()
    copied = checkout / ".tools" / "pod-security-fixtures"
    assert list(copied.glob("restricted/v1.*/fail/*.yaml"))
    assert all(os.access(folder, os.W_OK) for folder in copied.glob("*/"))
    assert os.access(checkout / ".tools" / "bin" / "Makefile", os.X_OK)


def test_a_program_can_have_its_own_name_and_further_ones(checkout: Path) -> None:
    family = checkout / "tools" / "server"
    family.mkdir()
    (family / "go.mod").write_text("module example.org/server\n\ngo 1.26.0\n")
    (family / "main.go").write_text("package main\n\nfunc main() {}\n")
    (family / "build.toml").write_text(
        'version = "1.0"\npackage = "."\n[built-as]\netcd = "server"\n'
        '[links]\netcd-member = "etcd"\n[binaries]\netcd = []\n'
    )
    result = install(checkout, "server")
    assert result.returncode == 0, result.stderr
    programs = checkout / ".tools" / "bin"
    assert sorted(path.name for path in programs.iterdir()) == ["etcd", "etcd-member"]
    assert (programs / "etcd-member").resolve() == programs / "etcd"
    (programs / "etcd-member").unlink()
    assert "built" in install(checkout, "server").stderr


def test_a_program_can_stand_elsewhere_in_the_repository(checkout: Path) -> None:
    family = checkout / "e2e" / "router"
    family.mkdir(parents=True)
    (family / "go.mod").write_text("module router\n\ngo 1.26.0\n")
    (family / "main.go").write_text("package main\n\nfunc main() {}\n")
    (family / "build.toml").write_text('version = "1.0"\npackage = "."\n[binaries]\nrouter = []\n')
    result = install(checkout, "e2e/router")
    assert "router 1.0 built" in result.stderr
    assert (checkout / ".tools" / "bin" / "router").is_file()
    assert install(checkout, "e2e/router").stderr == ""


def test_a_file_of_a_module_can_be_replaced_by_ours(checkout: Path) -> None:
    family = checkout / "tools" / "edited"
    family.mkdir()
    (family / "go.mod").write_text(f"module edited\n\ngo 1.26.0\n\nrequire {INTERN} v1.0.0\n")
    shutil.copy(ROOT / "e2e" / "traffic-router" / "go.sum", family / "go.sum")
    (family / "main.go").write_text(
        f'package main\n\nimport "{INTERN}"\n\nfunc main() {{ print(intern.String("theirs")) }}\n'
    )
    (family / "ours.txt").write_text(
        'package intern\n\nfunc String(string) string { return "ours" }\n'
    )
    (family / "build.toml").write_text(
        'version = "1.0"\npackage = "."\n[binaries]\nedited = []\n'
        f'[edited."{INTERN}"]\n"intern.go" = "ours.txt"\n'
    )
    assert "edited 1.0 built" in install(checkout, "edited").stderr
    program = [checkout / ".tools" / "bin" / "edited"]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stderr == "ours"


@pytest.mark.parametrize(
    ("old", "answer"),
    [("func String(", "edited 1.0 built"), ("no such line", "0 places have 'no such line'")],
)
def test_lines_of_a_module_can_be_replaced_where_they_stand_once(
    checkout: Path, old: str, answer: str
) -> None:
    family = checkout / "tools" / "edited"
    family.mkdir()
    (family / "go.mod").write_text(f"module edited\n\ngo 1.26.0\n\nrequire {INTERN} v1.0.0\n")
    shutil.copy(ROOT / "e2e" / "traffic-router" / "go.sum", family / "go.sum")
    (family / "main.go").write_text(
        f'package main\n\nimport "{INTERN}"\n\nfunc main() {{ print(intern.String("theirs")) }}\n'
    )
    (family / "build.toml").write_text(
        'version = "1.0"\npackage = "."\n[binaries]\nedited = []\n'
        f'[edited."{INTERN}"]\n"intern.go" = [["{old}", "/* ours */ {old}"]]\n'
    )
    assert answer in install(checkout, "edited").stderr


def test_a_go_that_is_too_old_for_a_family_is_not_used(checkout: Path) -> None:
    old = fake_program(checkout / "machine", "go", "go version go1.26.2 linux/amd64")
    (checkout / ".tools" / "go").mkdir(parents=True)
    new = fake_program(checkout / ".tools" / "go" / "bin", "go", "go version go1.26.3 linux/amd64")
    for program in (old, new):
        program.write_text(program.read_text() + '[ "$1" = version ]\n')
    pin = checkout / "tools" / "kustomize" / "go.mod"
    pin.write_text(pin.read_text().replace("go 1.26.0", "go 1.26.3"))
    result = install(checkout, "kustomize", PATH=f"{old.parent}:/usr/bin:/bin")
    assert "failed:\ngo version go1.26.3" in result.stderr


def fake_kustomize(folder: Path, version: str) -> Path:
    return fake_program(folder, "kustomize", version)


def fake_program(folder: Path, name: str, version: str) -> Path:
    """A program that says it has this version."""
    folder.mkdir()
    own = folder / name
    own.write_text(f"#!/bin/sh\necho {version}\n")
    own.chmod(0o755)
    return own


def test_a_changed_pin_is_installed_again(checkout: Path) -> None:
    path = {"PATH": f"{fake_kustomize(checkout / 'machine', 'v5.8.1').parent}:/usr/bin:/bin"}
    assert "found on this machine" in install(checkout, "kustomize", **path).stderr
    assert install(checkout, "kustomize", **path).stderr == ""
    pin = checkout / "tools" / "kustomize" / "build.toml"
    pin.write_text(pin.read_text() + "\n# another look\n")
    assert "found on this machine" in install(checkout, "kustomize", **path).stderr


def test_a_tool_of_the_machine_in_the_pinned_version_is_used_as_it_is(checkout: Path) -> None:
    own = fake_kustomize(checkout / "machine", "v5.8.1")
    result = install(checkout, "kustomize", PATH=f"{own.parent}:/usr/bin:/bin")
    assert result.returncode == 0, result.stderr
    assert "found on this machine" in result.stderr
    assert (checkout / ".tools" / "bin" / "kustomize").resolve() == own.resolve()


def test_a_tool_of_the_machine_in_another_version_is_not_used(checkout: Path) -> None:
    own = fake_kustomize(checkout / "machine", "v5.8.10")
    offline = {"GOPROXY": "off", "GOMODCACHE": str(checkout / "empty"), "GOFLAGS": "-modcacherw"}
    path = f"{own.parent}:{BARE_PATH}"
    result = install(checkout, "kustomize", **{**offline, "PATH": path})
    assert result.returncode == 1
    assert "building kustomize" in result.stderr
