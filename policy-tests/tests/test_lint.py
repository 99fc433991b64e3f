"""The library: documents in, one report out."""

from pathlib import Path
from typing import Any

import pytest
from gitops_policy import Config, ConfigError, Document, Origin, Workspace, lint, rule, rules
from gitops_policy.findings import Finding, ResourceId, Severity, merge
from gitops_policy.model import Index
from gitops_policy.pods import pods_of
from gitops_policy.registry import _RULES

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a"},
    "spec": {"hostPID": True, "containers": [{"name": "a", "image": "nginx"}]},
}
ONLY = Config(only=("host-pid",))


def test_plain_dicts_and_documents_with_origin_are_linted_alike() -> None:
    origin = Origin("dev/web", "pod.yaml", 1)
    (plain,) = lint([POD], ONLY).findings
    (placed,) = lint([Document(POD, origin)], ONLY).findings
    assert plain.origin is None
    assert placed.origin == origin
    assert plain.resource == placed.resource == ResourceId("v1", "Pod", "default", "a")


def test_lists_of_objects_are_taken_apart() -> None:
    wrapped = {"apiVersion": "v1", "kind": "List", "items": [POD, {"kind": "PodList", "items": []}]}
    assert len(lint([wrapped], ONLY).findings) == 1


@pytest.mark.parametrize("document", [[POD], "text", 1, {"kind": "List", "items": ["a"]}])
def test_documents_that_are_no_objects_crash_nothing(document: Any) -> None:
    assert lint([document]).errors == ()


def test_a_document_that_is_no_object_is_a_finding() -> None:
    (finding,) = lint([["a"], POD], Config(only=("object-identity",))).findings
    assert finding.message == "document 1 is list, not an object"


def test_evaluated_counts_objects_and_names_rules_that_saw_none() -> None:
    report = lint([POD, {**POD, "metadata": {"name": "b"}}], Config(only=("image-tag",)))
    assert report.evaluated == {"image-tag": 2}
    assert lint([], Config(only=("image-tag",))).evaluated == {"image-tag": 0}


def test_skip_wins_over_only() -> None:
    assert lint([POD], Config(only=("host-pid",), skip=("pss:baseline",))).evaluated == {}


@pytest.mark.parametrize(
    "settings", [{"profile": "lenient"}, {"fail_on": "info"}], ids=["profile", "fail_on"]
)
def test_a_setting_that_does_not_exist_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="one of"):
        Config(**settings)  # type: ignore[arg-type]


def test_profiles_are_nested() -> None:
    chosen = {p: {r.id for r in Config(profile=p).selected(rules())} for p in
              ("pss-baseline", "pss-restricted", "recommended", "strict")}  # fmt: skip
    assert chosen["pss-baseline"] < chosen["pss-restricted"] < chosen["recommended"]
    assert "cpu-limit" in chosen["strict"] - chosen["recommended"]


def test_a_rule_by_name_only_is_in_no_profile() -> None:
    def chosen(**settings: Any) -> set[str]:
        return {rule.id for rule in Config(**settings).selected()}

    assert "no-cpu-limit" not in chosen(profile="strict")
    assert chosen(only=("no-cpu-limit",)) == {"no-cpu-limit"}
    assert "no-cpu-limit" in chosen(severity={"datree:80": "error"})


@pytest.mark.parametrize("name", ["Not-Kebab", "a" * 51, "privileged-container"])
def test_a_rule_needs_a_new_kebab_case_id(name: str) -> None:
    rules()
    with pytest.raises(ValueError, match="rule id"):
        rule(id=name, title="", severity="error", rationale="", references=[], kinds="build")


def test_every_rule_says_what_it_is() -> None:
    for known in rules():
        assert known.title, known.id
        assert known.rationale, known.id
        assert known.references, known.id
        assert known.check.__doc__ or known.id in _RULES


def test_findings_are_ordered_by_severity_and_place() -> None:
    report = lint([POD], Config(profile="recommended"))
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, reverse=True)
    assert report.at_least(Severity.error) == tuple(
        f for f in report.findings if f.severity is Severity.error
    )


def test_merged_reports_add_up() -> None:
    one = lint([POD], ONLY)
    both = merge([one, one])
    assert both.evaluated == {"host-pid": 2}
    assert len(both.findings) == 2


def test_a_finding_without_object_is_still_json() -> None:
    finding = Finding("a", Severity.info, None, "", "m", origin=Origin("dev", "f", 1))
    assert finding.as_json()["resource"] is None
    assert finding.as_json()["origin"] == {"overlay": "dev", "file": "f", "line": 1}
    assert str(Origin()) == "(standard input)"
    assert str(ResourceId("v1", "Node", "", "n")) == "Node n"


def test_a_workload_reference_leads_to_the_pods_of_its_target() -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"template": {"spec": POD["spec"]}},
    }
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "r"},
        "spec": {"workloadRef": reference},
    }
    index = Index([Document(rollout), Document(deployment)])
    (pod,) = pods_of(index.resources[0], index)
    assert pod.resource is index.resources[1]
    reference["name"] = "gone"
    assert pods_of(index.resources[0], index) == []
    assert repr(index.resources[0]) == "<Rollout default/r>"


def test_a_workspace_renders_other_folders_once_and_survives_broken_ones(tmp_path: Path) -> None:
    for name, content in (("good", "resources: []\n"), ("bad", "resources: [gone.yaml]\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kustomization.yaml").write_text(content)
    workspace = Workspace(tmp_path)
    good = workspace.build("good")
    assert good is not None
    assert workspace.build("good") is good
    assert workspace.build("bad") is None
    assert workspace.build("no/such/folder") is None


def test_memory_above_the_request_is_an_error_where_a_gpu_is_used() -> None:
    resources = {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    container = {"name": "a", "image": "a", "resources": resources}
    pod = {**POD, "spec": {"containers": [container]}}
    only = Config(only=("memory-request-equals-limit",))
    assert lint([pod], only).findings[0].severity is Severity.warning
    resources["limits"]["nvidia.com/gpu"] = "1"
    assert lint([pod], only).findings[0].severity is Severity.error


def test_a_severity_is_its_word_and_has_an_order() -> None:
    assert Severity.error == "error"
    assert sorted(["warning", *Severity], key=Severity)[0] == "info"
    assert Severity.info < Severity.warning < Severity.error >= "error"
    assert max(Severity) is Severity.error
    assert Severity.warning > "info"
    assert Severity.warning <= Severity.warning
