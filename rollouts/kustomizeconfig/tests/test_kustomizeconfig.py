"""Kustomize finds what a Rollout names, and each field spec is needed for it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[1]
KUSTOMIZE = FOLDER.parents[1] / ".tools" / "bin" / "kustomize"
Manifest = dict[str, Any]

ROLLOUT = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: server}
spec:
  selector: {matchLabels: {app: server}}
  strategy:
    canary:
      canaryService: canary
      stableService: stable
      trafficRouting: {plugins: {argoproj-labs/gatewayAPI: {httpRoute: route, namespace: old}}}
      analysis: {templates: [{templateName: question}]}
      steps:
        - analysis: {templates: [{templateName: question}]}
        - experiment: {analyses: [{name: lab, templateName: question}]}
    blueGreen:
      activeService: stable
      previewService: canary
      prePromotionAnalysis: {templates: [{templateName: question}]}
      postPromotionAnalysis: {templates: [{templateName: question}]}
  template:
    metadata: {labels: {app: server}}
    spec:
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 1
              podAffinityTerm: {topologyKey: h, labelSelector: {matchLabels: {app: server}}}
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: z, labelSelector: {matchLabels: {app: server}}}
      imagePullSecrets: [{name: secret}]
      initContainers:
        - name: init
          envFrom: [{configMapRef: {name: config}}, {secretRef: {name: secret}}]
          env:
            - {name: A, valueFrom: {configMapKeyRef: {name: config, key: a}}}
            - {name: B, valueFrom: {secretKeyRef: {name: secret, key: b}}}
      containers:
        - name: server
          envFrom: [{configMapRef: {name: config}}, {secretRef: {name: secret}}]
          env:
            - {name: A, valueFrom: {configMapKeyRef: {name: config, key: a}}}
            - {name: B, valueFrom: {secretKeyRef: {name: secret, key: b}}}
      volumes:
        - {name: c, configMap: {name: config}}
        - {name: s, secret: {secretName: secret}}
        - {name: p, projected: {sources: [{configMap: {name: config}}]}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: server}
spec:
  scaleTargetRef: {apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: server}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route}
spec:
  rules:
    - backendRefs: [{name: stable}, {name: canary}]
---
apiVersion: v1
kind: Service
metadata: {name: stable}
spec: {selector: {app: server}}
---
apiVersion: v1
kind: Service
metadata: {name: canary}
spec: {selector: {app: server}}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: question}
spec:
  metrics:
    - name: answer
      provider:
        job:
          spec:
            template:
              spec:
                initContainers: [{name: init, envFrom: [{configMapRef: {name: config}}]}]
                containers: [{name: probe, envFrom: [{configMapRef: {name: config}}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: gateway}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
    - from:
        - podSelector:
            matchLabels: {gateway.envoyproxy.io/owning-gateway-namespace: old}
  egress:
    - to:
        - podSelector:
            matchLabels: {gateway.envoyproxy.io/owning-gateway-namespace: old}
"""

# Every transformer that reads field specs. The suffix stands for any change of a name:
# overlays use none, but a hash is one.
KUSTOMIZATION = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: new
nameSuffix: -new
resources: [manifests.yaml]
components: [kustomizeconfig]
configMapGenerator: [{name: config, literals: [a=1]}]
secretGenerator: [{name: secret, literals: [b=1]}]
replicas: [{name: server, count: 7}]
labels:
  - pairs: {team: ml}
    includeSelectors: true
  - pairs: {tier: gpu}
    includeTemplates: true
"""

OLD = {"config", "secret", "stable", "canary", "question", "server", "old"}


def render(folder: Path, config: str) -> list[Manifest]:
    (folder / "kustomizeconfig").mkdir(exist_ok=True)
    component = (FOLDER / "kustomization.yaml").read_text()
    (folder / "kustomizeconfig" / "kustomization.yaml").write_text(component)
    (folder / "kustomizeconfig" / "kustomizeconfig.yaml").write_text(config)
    (folder / "manifests.yaml").write_text(ROLLOUT)
    (folder / "kustomization.yaml").write_text(KUSTOMIZATION)
    result = subprocess.run([KUSTOMIZE, "build", folder], capture_output=True, text=True)
    return list(yaml.load_all(result.stdout, yaml.CSafeLoader)) if result.returncode == 0 else []


def problems(manifests: list[Manifest]) -> set[str]:
    """Names that still say what they said before, and labels that did not arrive."""
    if not manifests:
        return {"does not render"}
    found = {
        f"{each['kind']} {path}"
        for each in manifests
        for path, value in leaves(each, "")
        if value in OLD and ".labels." not in path and "atchLabels.app" not in path
        if not path.endswith(("spec.selector.app", "containers.0.name"))
    }
    [rollout] = [each for each in manifests if each["kind"] == "Rollout"]
    spec, template = rollout["spec"], rollout["spec"]["template"]
    pod = template["spec"]
    [term] = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    expected = {
        "replicas": spec.get("replicas") == 7,
        "selector": spec["selector"]["matchLabels"].get("team") == "ml",
        "template": template["metadata"]["labels"]
        == {"app": "server", "team": "ml", "tier": "gpu"},
        "affinity": "team" in term["podAffinityTerm"]["labelSelector"]["matchLabels"],
        "spread": "team" in pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    }
    return found | {name for name, arrived in expected.items() if not arrived}


def leaves(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [leaf for key, item in enumerate(value) for leaf in leaves(item, f"{path}.{key}")]
    return [(path, value)]


def field_specs() -> list[tuple[str, ...]]:
    """Where each field spec stands: the transformer, and for a reference the kind it names."""
    config = yaml.safe_load((FOLDER / "kustomizeconfig.yaml").read_text())
    plain: list[tuple[str, ...]] = [
        (name, spec["kind"], spec["path"])
        for name, specs in config.items()
        if name != "nameReference"
        for spec in specs
    ]
    references: list[tuple[str, ...]] = [
        ("nameReference", reference["kind"], spec["kind"], spec["path"])
        for reference in config["nameReference"]
        for spec in reference["fieldSpecs"]
    ]
    return plain + references


def without(place: tuple[str, ...]) -> str:
    config = yaml.safe_load((FOLDER / "kustomizeconfig.yaml").read_text())
    transformer, *_, kind, path = place
    lists = (
        [each["fieldSpecs"] for each in config["nameReference"] if each["kind"] == place[1]]
        if transformer == "nameReference"
        else [config[transformer]]
    )
    for specs in lists:
        specs[:] = [each for each in specs if (each["kind"], each["path"]) != (kind, path)]
    return yaml.safe_dump(config)


def test_every_name_and_label_reaches_the_rollout_and_what_refers_to_it(tmp_path: Path) -> None:
    assert problems(render(tmp_path, (FOLDER / "kustomizeconfig.yaml").read_text())) == set()


@pytest.mark.parametrize("place", field_specs(), ids=":".join)
def test_without_a_field_spec_something_is_left_behind(
    place: tuple[str, ...], tmp_path: Path
) -> None:
    assert problems(render(tmp_path, without(place))) != set()
