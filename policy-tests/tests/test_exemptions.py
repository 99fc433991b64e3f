"""A finding is exempted by a name, a date and a reason, in an annotation or in the ledger."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from gitops_policy import Config, ManifestError, Report, Workspace, lint, runs
from gitops_policy.ledger import judged

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


POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: x%s}]}\n"
)
LINE = "- {rule: privileged-container, resource: Pod/default/%s, owner: p, until: %s, reason: x}"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two builds with a Pod of the same name, privileged in the first only."""
    (tmp_path / ".git").mkdir()
    for name, extra in (("one", ", securityContext: {privileged: true}"), ("two", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kustomization.yaml").write_text("resources: [pod.yaml]\n")
        (tmp_path / name / "pod.yaml").write_text(POD % extra)
    return tmp_path


def run(repository: Path, *folders: str, **settings: Any) -> dict[str, Report]:
    paths = [str(repository / folder) for folder in folders]
    config = Config(only=RULES, today=TODAY, **settings)
    reports, failures = runs.check(paths, config)
    assert not failures
    return judged(reports, paths, config)


def said(reports: dict[str, Report]) -> list[tuple[str, int]]:
    findings = (finding for report in reports.values() for finding in report.findings)
    return [(f.rule, f.origin.line) for f in findings if f.origin and f.origin.line]


def test_a_line_that_exempts_in_one_build_is_used_in_all(repository: Path) -> None:
    ledger(repository, LINE % ("a", "2026-12-24"))
    reports = run(repository, "one", "two")
    assert said(reports) == []
    assert sum(len(report.exempted) for report in reports.values()) == 1
    assert said(run(repository, "two")) == [("exemption-unused", 1)]


def test_a_faulty_line_is_one_finding_however_many_builds_hold_its_object(repository: Path) -> None:
    ledger(repository, LINE % ("a", "2026-11-01"))
    reports = run(repository, "one", "two")
    assert [rule for rule, _ in said(reports)].count("exemption-expired") == 1
    assert "exemption-expired" in names(next(reversed(reports.values())))


def test_a_line_about_no_object_is_unused_where_the_whole_repository_was_linted(
    repository: Path,
) -> None:
    ledger(repository, LINE % ("a", "2026-12-24"), LINE % ("gone", "2026-12-24"))
    assert said(run(repository, "one", "two")) == []
    whole = run(repository, "")
    assert said(whole) == [("exemption-unused", 2)]
    (finding,) = next(reversed(whole.values())).findings
    assert "no such object in all that was linted" in finding.message
    assert finding.resource is not None
    assert (finding.resource.kind, finding.resource.name) == ("Pod", "gone")


def test_the_configured_paths_say_what_the_whole_is(repository: Path) -> None:
    ledger(repository, LINE % ("a", "2026-12-24"), LINE % ("gone", "2026-12-24"))
    paths = (repository / "one", repository / "two")
    assert said(run(repository, "one", "two", paths=paths)) == [("exemption-unused", 2)]
    assert said(run(repository, "one", paths=paths)) == []


def test_a_faulty_line_about_no_object_is_a_finding_in_every_run(repository: Path) -> None:
    ledger(repository, LINE % ("gone", "2026-11-01"))
    assert said(run(repository, "two")) == [("exemption-expired", 1)]


def test_a_rule_that_does_not_exist_is_found_with_what_was_meant() -> None:
    document = pod()
    note = "owner=p; until=2026-12-24; reason=x"
    document["metadata"]["annotations"] = {"policy.gitops/ignore.privileged-containr": note}
    (finding,) = [f for f in check(document).findings if f.rule == "exemption-complete"]
    assert "no such rule" in finding.message
    assert "privileged-container" in finding.fix
