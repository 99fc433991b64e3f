"""Root brings up everything from one file, and nobody may do more than they need."""

import functools
import json
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
KUSTOMIZE = ROOT / ".tools/bin/kustomize"
SCHEMAS = ROOT / ".tools/schemas"
CLUSTER_KINDS = {
    "ClusterIssuer",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterSecretStore",
    "GatewayClass",
    "Namespace",
}
# The one folder whose bases come from the network; nothing that a test renders may.
NEEDS_NETWORK = {"argocd/install/upstream"}

Document = dict[str, Any]


@functools.cache
def render(path: str) -> tuple[Document, ...]:
    done = subprocess.run([KUSTOMIZE, "build", ROOT / path], capture_output=True, text=True)
    assert done.returncode == 0, f"{path} does not render: {done.stderr}"
    return tuple(doc for doc in yaml.load_all(done.stdout, yaml.CSafeLoader) if doc)


def of_kind(kind: str) -> dict[str, Document]:
    return {doc["metadata"]["name"]: doc for doc in render("apps") if doc["kind"] == kind}


def sources(app: Document) -> list[Document]:
    spec = app["spec"]
    return list(spec["sources"]) if "sources" in spec else [spec["source"]]


def wave(doc: Document) -> int:
    return int(doc["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])


def our_repository() -> tuple[str, str]:
    source = of_kind("Application")["root"]["spec"]["source"]
    return source["repoURL"], source["targetRevision"]


def own_paths(app: Document) -> list[str]:
    url, _ = our_repository()
    return [source["path"] for source in sources(app) if source.get("repoURL") == url]


APPLICATIONS = of_kind("Application")
PROJECTS = of_kind("AppProject")
OWN = sorted(
    (name, path)
    for name, app in APPLICATIONS.items()
    for path in own_paths(app)
    if path not in NEEDS_NETWORK and name != "root"
)
INFERENCE = ["inference-dev", "inference-staging", "inference-production"]


def test_root_applied_alone_is_what_root_renders_of_itself() -> None:
    by_hand = list(yaml.safe_load_all((ROOT / "argocd/root.yaml").read_text()))
    rendered = [doc for doc in render("apps") if doc["metadata"]["name"] == "root"]
    assert sorted(by_hand, key=lambda d: d["kind"]) == sorted(rendered, key=lambda d: d["kind"])


def test_only_root_names_this_repository() -> None:
    url, _ = our_repository()
    files = [*ROOT.glob("argocd/**/*.yaml"), *ROOT.glob("apps/**/*.yaml")]
    assert [f for f in files if url in f.read_text()] == [ROOT / "argocd/root.yaml"]


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_an_application_follows_the_one_repository_and_branch_or_a_pinned_upstream(
    name: str,
) -> None:
    url, branch = our_repository()
    for source in sources(APPLICATIONS[name]):
        assert "repoURL" in source, f"{name}: apps/repository.yaml does not list it"
        if source["repoURL"] == url:
            assert source.get("targetRevision") == branch, "apps/revision.yaml does not list it"
        else:
            assert re.fullmatch(r"v?\d+\.\d+\.\d+", source["targetRevision"]), source


@pytest.mark.parametrize(("name", "path"), OWN)
def test_an_application_of_this_repository_renders_something(name: str, path: str) -> None:
    assert render(path), f"{name}: {path} renders nothing; Argo CD would call that Healthy"


@pytest.mark.parametrize("path", sorted(NEEDS_NETWORK))
def test_a_remote_base_names_an_exact_version(path: str) -> None:
    resources = yaml.safe_load((ROOT / path / "kustomization.yaml").read_text())["resources"]
    remote = [resource for resource in resources if "://" in resource]
    assert remote
    assert all(re.search(r"/v\d+\.\d+\.\d+/|/[0-9a-f]{40}/", resource) for resource in remote)


def test_no_environment_is_left_without_an_application() -> None:
    folders = {str(p.relative_to(ROOT)) for p in ROOT.glob("overlays/*/inference")}
    assert folders == {path for name in INFERENCE for path in own_paths(APPLICATIONS[name])}


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_a_project_allows_the_sources_and_the_destination_of_its_applications(name: str) -> None:
    app = APPLICATIONS[name]
    project = PROJECTS[app["spec"]["project"]]["spec"]
    assert app["spec"]["project"] != "default"
    assert app["spec"]["destination"] in project["destinations"]
    assert {source.get("repoURL") for source in sources(app)} <= set(project["sourceRepos"])


def allowed(doc: Document, project: Document) -> bool:
    group = doc["apiVersion"].rpartition("/")[0]
    key = (
        "clusterResourceWhitelist" if doc["kind"] in CLUSTER_KINDS else "namespaceResourceWhitelist"
    )
    return any(
        (item["group"], item["kind"]) == (group, doc["kind"])
        and fnmatch(doc["metadata"]["name"], item.get("name", "*"))
        for item in project[key]
    )


@pytest.mark.parametrize(("name", "path"), [*OWN, ("root", "apps")])
def test_a_project_allows_every_rendered_kind_and_namespace(name: str, path: str) -> None:
    spec = APPLICATIONS[name]["spec"]
    project = PROJECTS[spec["project"]]["spec"]
    namespaces = {destination["namespace"] for destination in project["destinations"]}
    refused = [
        f"{doc['kind']}/{doc['metadata']['name']}"
        for doc in render(path)
        if not allowed(doc, project)
        or doc["metadata"].get("namespace", spec["destination"]["namespace"]) not in namespaces
    ]
    assert refused == []


# What controllers make of the rendered kinds, as people look for it in the UI.
CHILDREN = {("", "Pod"), ("apps", "ReplicaSet"), ("argoproj.io", "AnalysisRun"), ("batch", "Job")}


@pytest.mark.parametrize("name", INFERENCE)
def test_an_inference_project_allows_what_its_overlay_renders_and_its_children(name: str) -> None:
    project = PROJECTS[name]["spec"]
    rendered = {
        (doc["apiVersion"].rpartition("/")[0], doc["kind"])
        for _, path in OWN
        if path == f"overlays/{name.removeprefix('inference-')}/inference"
        for doc in render(path)
    }
    listed = project["clusterResourceWhitelist"] + project["namespaceResourceWhitelist"]
    assert {(item["group"], item["kind"]) for item in listed} == rendered | CHILDREN


@pytest.mark.parametrize("name", sorted(PROJECTS))
def test_a_project_says_what_it_is_for_and_has_no_wildcard(name: str) -> None:
    spec = PROJECTS[name]["spec"]
    assert spec["description"]
    open_names = [item.get("name", "") for item in spec["clusterResourceWhitelist"]]
    assert "*" not in open_names
    exact = json.dumps({key: value for key, value in spec.items() if "Whitelist" not in key})
    assert "*" not in exact
    for item in spec["clusterResourceWhitelist"] + spec["namespaceResourceWhitelist"]:
        assert "*" not in item["group"] + item["kind"]


def test_the_default_project_allows_nothing_and_is_used_by_nobody() -> None:
    spec = dict(PROJECTS["default"]["spec"])
    del spec["description"]
    assert all(value == [] for value in spec.values())
    assert {"sourceRepos", "destinations"} <= set(spec)


def test_waves_go_from_projects_over_operators_and_their_settings_to_inference() -> None:
    projects = {wave(project) for project in PROJECTS.values()}
    upstream = {wave(APPLICATIONS[n]) for n in ("argo-rollouts", "cert-manager", "envoy-gateway")}
    settings = {wave(APPLICATIONS[n]) for n in ("cluster-issuers", "gateway-class", "prometheus")}
    inference = {wave(APPLICATIONS[n]) for n in INFERENCE}
    order = [max(projects), *sorted(upstream | settings), *inference]
    assert order == sorted(set(order))
    assert max(upstream) < min(settings)
    for name, app in APPLICATIONS.items():
        if name not in {"root", *INFERENCE}:
            assert max(projects) < wave(app) < min(inference), name


def test_dev_and_staging_sync_and_heal_themselves_and_production_waits_for_a_person() -> None:
    for name in INFERENCE:
        automated = APPLICATIONS[name]["spec"]["syncPolicy"].get("automated")
        expected = None if name == "inference-production" else {"prune": True, "selfHeal": True}
        assert automated == expected, name


def test_production_survives_the_loss_of_its_application() -> None:
    metadata = APPLICATIONS["inference-production"]["metadata"]
    assert "finalizers" not in metadata
    assert metadata["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false"


@pytest.mark.parametrize("name", INFERENCE)
def test_argocd_leaves_alone_what_controllers_write_during_a_canary(name: str) -> None:
    app = APPLICATIONS[name]
    annotations = app["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/compare-options"] == "ServerSideDiff=true"
    options = app["spec"]["syncPolicy"]["syncOptions"]
    assert {"ServerSideApply=true", "RespectIgnoreDifferences=true"} <= set(options)
    ignored = {
        (rule.get("group", ""), rule["kind"], rule["name"]): set(rule["jsonPointers"])
        for rule in app["spec"]["ignoreDifferences"]
    }
    selector = {"/spec/selector/rollouts-pod-template-hash"}
    assert ignored == {
        ("argoproj.io", "Rollout", "inference"): {"/spec/replicas"},
        ("", "Service", "inference-stable"): selector,
        ("", "Service", "inference-canary"): selector,
        ("gateway.networking.k8s.io", "HTTPRoute", "inference"): {
            f"/spec/rules/0/backendRefs/{i}/weight" for i in (0, 1)
        },
    }


@pytest.mark.parametrize("name", INFERENCE)
def test_an_ignored_field_belongs_to_an_object_that_the_overlay_renders(name: str) -> None:
    rendered = {
        (doc["apiVersion"].rpartition("/")[0], doc["kind"], doc["metadata"]["name"])
        for path in own_paths(APPLICATIONS[name])
        for doc in render(path)
    }
    rules = APPLICATIONS[name]["spec"]["ignoreDifferences"]
    assert {(r.get("group", ""), r["kind"], r["name"]) for r in rules} <= rendered


@pytest.mark.parametrize("name", INFERENCE)
def test_a_refresh_interval_stands_in_the_form_that_its_controller_writes_back(name: str) -> None:
    intervals = {
        doc["spec"]["refreshInterval"]
        for path in own_paths(APPLICATIONS[name])
        for doc in render(path)
        if doc["kind"] == "ExternalSecret"
    }
    assert intervals
    for interval in intervals:
        assert re.fullmatch(r"(\d+h)?(\d+m)?\d+s", interval), f"{interval} would show as drift"


# In one wave Argo CD applies custom resources by name: the Rollout came before half of the
# templates that its analyses ask. Neither kind has a health that a wave could wait for.
EARLIER_WAVES = {"Namespace": "-2", "AnalysisTemplate": "-1"}


@pytest.mark.parametrize("name", INFERENCE)
def test_an_inference_application_holds_the_sync_open_with_no_later_wave_or_hook(
    name: str,
) -> None:
    for path in own_paths(APPLICATIONS[name]):
        for doc in render(path):
            annotations = doc["metadata"].get("annotations", {})
            assert "argocd.argoproj.io/hook" not in annotations, doc["metadata"]["name"]
            wave = annotations.get("argocd.argoproj.io/sync-wave", "0")
            assert wave == EARLIER_WAVES.get(doc["kind"], "0"), doc["metadata"]["name"]
            assert "PruneLast=true" not in annotations.get("argocd.argoproj.io/sync-options", "")


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_retries_are_bounded_and_take_the_newest_commit(name: str) -> None:
    retry = APPLICATIONS[name]["spec"]["syncPolicy"]["retry"]
    assert 0 < retry["limit"] <= 10
    assert retry["refresh"] is True
    assert retry["backoff"]["maxDuration"]


def settings(name: str) -> dict[str, str]:
    (found,) = (doc for doc in render("argocd/config") if doc["metadata"]["name"] == name)
    return found["data"]  # type: ignore[no-any-return]


def test_every_subscription_names_a_trigger_whose_templates_and_service_exist() -> None:
    data = settings("argocd-notifications-cm")
    prefix = "notifications.argoproj.io/subscribe."
    asked = {
        tuple(key.removeprefix(prefix).rsplit(".", 1))
        for app in APPLICATIONS.values()
        for key in app["metadata"]["annotations"]
        if key.startswith(prefix)
    }
    assert {trigger for trigger, _ in asked} == {
        "on-deployed",
        "on-rollout-aborted",
        "on-rollout-undecided",
        "on-sync-failed",
    }
    for trigger, service in asked:
        assert f"service.webhook.{service}" in data
        for condition in yaml.safe_load(data[f"trigger.{trigger}"]):
            assert condition["oncePer"]
            for template in condition["send"]:
                assert service in yaml.safe_load(data[f"template.{template}"])["webhook"]


def test_links_in_notifications_start_with_the_url_of_argocd() -> None:
    data = settings("argocd-notifications-cm")
    context = yaml.safe_load(data["context"])
    assert context == {"argocdUrl": settings("argocd-cm")["url"]}
    asked = set(re.findall(r"{{-? *\.context\.(\w+)", "".join(data.values())))
    assert asked == set(context), "a template gets `<no value>` for anything else"


def test_the_webhook_waits_in_nanoseconds() -> None:
    service = yaml.safe_load(settings("argocd-notifications-cm")["service.webhook.release"])
    waits = {key: value for key, value in service.items() if key.startswith("retryWait")}
    assert all(type(value) is int and value >= 1_000_000_000 for value in waits.values()), (
        "the controller refuses any other form, and then sends nothing at all"
    )


def test_the_aborted_trigger_finds_the_message_it_looks_for() -> None:
    assert "RolloutAborted" in settings("argocd-notifications-cm")["trigger.on-rollout-aborted"]
    persist = settings("argocd-cmd-params-cm")["controller.resource.health.persist"]
    assert persist == "true", "without it an Application does not carry its Rollout's message"


def test_no_secret_stands_in_the_settings() -> None:
    service = yaml.safe_load(settings("argocd-notifications-cm")["service.webhook.release"])
    assert service["url"].startswith("$")
    assert service["headers"][0]["value"] == "Bearer $release-webhook-token"
    assert not [doc for doc in render("argocd/config") if doc["kind"] == "Secret"]


def test_waves_wait_for_the_platform_only() -> None:
    lua = settings("argocd-cm")["resource.customizations.health.argoproj.io_Application"]
    assert 'labels["app.kubernetes.io/part-of"] ~= "platform"' in lua
    for name, app in APPLICATIONS.items():
        part = app["metadata"].get("labels", {}).get("app.kubernetes.io/part-of")
        assert (part == "platform") == (name not in {"root", *INFERENCE}), name


def policies() -> list[list[str]]:
    lines = settings("argocd-rbac-cm")["policy.csv"].splitlines()
    return [[cell.strip() for cell in line.split(",")] for line in lines if line.strip()]


def may(role: str, action: str, resource: str) -> bool:
    roles = {role}
    for kind, subject, *rest in policies():
        if kind == "g" and subject in roles:
            roles.add(rest[0])
    return any(
        row[0] == "p"
        and row[1] in roles
        and row[2] == "applications"
        and fnmatch(action, row[3])
        and fnmatch(resource, row[4])
        for row in policies()
    )


@pytest.mark.parametrize(
    ("role", "action", "expected"),
    [
        ("role:viewer", "get", True),
        ("role:viewer", "sync", False),
        ("role:releaser", "get", True),
        ("role:releaser", "sync", True),
        ("role:releaser", "action/argoproj.io/Rollout/abort", True),
        ("role:releaser", "action/argoproj.io/Rollout/skip-current-step", True),
        ("role:releaser", "action/argoproj.io/Rollout/promote-full", False),
        ("role:releaser", "delete", False),
        ("role:releaser", "update", False),
        ("role:releaser", "override", False),
    ],
)
def test_production_is_released_by_a_releaser_through_git_only(
    role: str, action: str, expected: bool
) -> None:
    assert may(role, action, "inference-production/inference-production") is expected


def test_a_releaser_has_no_say_in_the_platform() -> None:
    assert not may("role:releaser", "sync", "platform/argo-rollouts")
    assert not may("role:releaser", "sync", "root/root")


def test_who_is_in_no_group_sees_nothing() -> None:
    assert settings("argocd-rbac-cm")["policy.default"] == ""


def strict(schema: Any) -> Any:
    """Refuse fields that the API server's strict validation refuses: a CRD schema alone prunes."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items()}
    closed = isinstance(schema.get("properties"), dict) and "type" in schema
    if closed and not schema.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    return out


@pytest.mark.parametrize(
    "path",
    ["apps", *sorted({path for _, path in OWN if path.startswith("apps/")})],
)
def test_every_custom_object_passes_its_crd(path: str) -> None:
    checked = 0
    for doc in render(path):
        group, _, version = doc["apiVersion"].rpartition("/")
        file = SCHEMAS / group / f"{doc['kind'].lower()}_{version}.json"
        if not group or group == "policy" or group.startswith("rbac."):
            continue
        assert file.exists(), f"{file} is missing: run `make tools`"
        schema = strict(json.loads(file.read_text()))
        schema["properties"]["apiVersion"] = schema["properties"]["kind"] = {"type": "string"}
        schema["properties"]["metadata"] = {"type": "object"}
        jsonschema.Draft202012Validator(schema).validate(doc)
        checked += 1
    assert checked or path == "apps/platform/argo-rollouts"
