"""A finding is exempted by a name, a date and a reason, in an annotation or in the ledger."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from gitops_policy import Config, ManifestError, Report, Workspace, lint

TODAY = date(2026, 11, 21)
ANNOTATION = "policy.gitops/ignore.privileged-container"
RULES = ("privileged-container", "exemption-complete", "exemption-expired", "exemption-unused")


def pod(annotation: str | None = None, *containers: str) -> dict[str, Any]:
    privileged = {"image": "x", "securityContext": {"privileged": True}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "annotations": {ANNOTATION: annotation} if annotation else {}},
        "spec": {"containers": [{"name": name, **privileged} for name in containers or "a"]},
    }


def check(document: dict[str, Any], root: Path | None = None, **settings: Any) -> Report:
    workspace = Workspace(root) if root else None
    return lint([document], Config(only=RULES, today=TODAY, **settings), workspace=workspace)


def ledger(root: Path, *lines: str) -> Path:
    path = root / "policy-tests" / "exemptions.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return root


def names(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings]


def test_an_annotation_moves_the_finding_to_the_exempted() -> None:
    report = check(pod("owner=platform; until=2026-12-24; reason=driver; a=b"))
    assert names(report) == []
    (exempted,) = report.exempted
    assert (exempted.owner, exempted.until, exempted.reason) == (
        "platform",
        "2026-12-24",
        "driver; a=b",
    )
    assert report.as_json()["exempted"][0]["exemption"]["owner"] == "platform"


def test_an_annotation_for_one_container_leaves_the_others() -> None:
    report = check(pod("owner=p; until=2026-12-24; container=a; reason=x", "a", "b"))
    assert [f.container for f in report.findings] == ["b"]
    assert [e.finding.container for e in report.exempted] == ["a"]


def test_an_exemption_holds_on_its_last_day_and_not_after() -> None:
    assert names(check(pod("owner=p; until=2026-11-21; reason=x"))) == []
    late = names(check(pod("owner=p; until=2026-11-20; reason=x")))
    assert sorted(late) == ["exemption-expired", "privileged-container"]


@pytest.mark.parametrize(
    "value", ["until=2026-12-24; reason=x", "owner=p; reason=x", "owner=p; until=soon; reason=x"]
)
def test_an_incomplete_exemption_exempts_nothing(value: str) -> None:
    assert sorted(names(check(pod(value)))) == ["exemption-complete", "privileged-container"]


def test_the_ledger_exempts_by_kind_namespace_and_name(tmp_path: Path) -> None:
    root = ledger(
        tmp_path,
        "- rule: privileged-container",
        "  resource: Pod/default/a",
        "  owner: platform",
        "  until: 2026-12-24",
        "  reason: driver",
    )
    report = check(pod(), root)
    assert names(report) == []
    assert report.exempted[0].owner == "platform"


def test_an_unused_line_of_the_ledger_is_a_finding_with_its_line(tmp_path: Path) -> None:
    root = ledger(
        tmp_path,
        "# nothing of these is privileged",
        "- {rule: privileged-container, resource: Pod/default/other, owner: p, until: 2026-12-24,"
        " reason: x}",
        "- {rule: privileged-container, resource: Pod/default/a, owner: p, until: 2026-12-24,"
        " container: b, reason: x}",
    )
    unused = [f for f in check(pod(), root).findings if f.rule == "exemption-unused"]
    assert [f.origin.line for f in unused if f.origin] == [3]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("rule: x", "not a list"),
        ("- {resource: Pod/a}", "needs `rule`"),
        ("- {rule: x, resource: a}", "Kind/namespace/name"),
        ("- {rule: x, resource: Pod//a}", "Kind/namespace/name"),
        ("- 1", "needs `rule`"),
    ],
)
def test_a_ledger_that_is_none_is_unreadable_input(
    content: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=reason) as caught:
        check(pod(), ledger(tmp_path, content))
    assert caught.value.line == 1


def test_the_ledger_can_stand_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "ledger.yaml"
    path.write_text(
        "- {rule: privileged-container, resource: Pod/default/a, owner: p, until: 2026-12-24,"
        " reason: x}\n---\n"
    )
    assert names(check(pod(), exemptions=path)) == []
