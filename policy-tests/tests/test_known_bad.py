"""The mistakes that the requirements list as known: each is caught, by the rule that is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from string import Template

import pytest
from gitops_policy import Config, ManifestError, lint
from gitops_policy.reading.build import build_sources
from gitops_policy.reading.manifests import read_text
from inference_server.observability.families import REQUEST_EDGES

ZIZMOR = Path(sys.executable).with_name("zizmor")
SCHEMAS = Path(__file__).parents[2] / ".tools" / "schemas"

RULE = Template("""
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: web, namespace: a}
spec: {groups: [{name: a, rules: [{alert: $alert, expr: '$expr'}]}]}
""")
ANALYSIS = Template("""
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: web, namespace: a}
spec: {metrics: [{name: a, provider: {prometheus: {query: '$expr'}}}]}
""")
POLICY = Template("""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: a}
spec: {podSelector: {}, policyTypes: [Ingress, Egress], $rules}
""")
RATIO = 'rate(http_requests_total{status=~"5.."}[5m]) / rate(http_requests_total[5m]) > 0.05'
QUANTILE = "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m])) > 1"
THROTTLED = (
    "rate(container_cpu_cfs_throttled_seconds_total[5m])"
    " / rate(container_cpu_cfs_periods_total[5m]) > 0.5"
)
HPA = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: a}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 3
  maxReplicas: 20
  metrics: [{type: Resource, resource: {name: cpu}}]
"""
WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: a}
spec:
  replicas: 5
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web}]
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            - {topologyKey: topology.kubernetes.io/zone, labelSelector: {matchLabels: {app: web}}}
"""
PDB = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: a}
spec: {minAvailable: 3, selector: {matchLabels: {app: web}}}
"""
VPA = """
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: web, namespace: a}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  updatePolicy: {updateMode: Auto}
"""
CERTIFICATE = """
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: web, namespace: a}
spec: {secretName: web, dnsNames: [a.example.com], issuer: {name: letsencrypt}}
"""
CHAOS = """
apiVersion: chaos-mesh.org/v1alpha1
kind: PodChaos
metadata: {name: web, namespace: a}
spec:
  action: pod-kill
  mode: one
  selector: {namespaces: [a], labelSelectors: {app: web}}
  scheduler: {cron: "@every 2m"}
"""
DATABASE = """
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: db, namespace: a}
spec: {instances: 3, backup: {barmanObjectStore: {destinationPath: s3://backups}}}
"""
LOAD_TEST = Template("""
apiVersion: v1
kind: ConfigMap
metadata: {name: load, namespace: a}
data:
  test.js: |
    import http from 'k6/http';
    import { sleep } from 'k6';
    export const options = { $options };
    export default function () { http.get(`$${__ENV.BASE}$path`); sleep(1); }
""")
JOB = Template("""
apiVersion: batch/v1
kind: CronJob
metadata: {name: $name, namespace: a}
spec:
  jobTemplate: {spec: {template: {spec: {containers: [{name: a, command: [sh, -c, '$script']}]}}}}
""")
QUOTA = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: web, namespace: a}
spec: {hard: {limits.nvidia.com/gpu: "8"}}
"""
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: web, namespace: a}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get, list]}]
"""

# Number in the requirements' list -> (rule, manifests).
CAUGHT = {
    "1-ratio-that-is-always-1": ("ratio-of-aggregates", RULE.substitute(alert="A", expr=RATIO)),
    "1-the-same-in-a-gate": ("ratio-of-aggregates", ANALYSIS.substitute(expr=RATIO)),
    "3-zone-anti-affinity": ("zone-anti-affinity-fits", WORKLOAD),
    "4-budget-equals-minimum": (
        "pdb-below-minimum-replicas",
        "---".join([WORKLOAD.replace("  replicas: 5\n", ""), HPA, PDB]),
    ),
    "5-vpa-beside-hpa": ("no-vpa-with-hpa", "---".join([WORKLOAD, HPA, VPA])),
    "6-dns-over-tcp-only": (
        "dns-egress-both-protocols",
        POLICY.substitute(rules="egress: [{ports: [{port: 53, protocol: TCP}]}]"),
    ),
    "6-dns-over-udp-only": (
        "dns-egress-both-protocols",
        POLICY.substitute(rules="egress: [{ports: [{port: 53, protocol: UDP}]}]"),
    ),
    "6-or-instead-of-and": (
        "network-policy-peers-joined",
        POLICY.substitute(rules="ingress: [{from: [{namespaceSelector: {}}, {podSelector: {}}]}]"),
    ),
    "6-label-called-name": (
        "namespace-selector-label",
        POLICY.substitute(
            rules="ingress: [{from: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}]"
        ),
    ),
    "7-issuer-for-issuerRef": ("schema-valid", CERTIFICATE),
    "7-the-same-without-schemas": ("certificate-issuer-named", CERTIFICATE),
    "8-one-window-called-burn": (
        "burn-rate-has-two-windows",
        RULE.substitute(alert="ErrorBudgetBurn", expr="sum(rate(errors_total[5m])) > 0.01"),
    ),
    "12-quantile-without-le": (
        "histogram-quantile-by-le",
        RULE.substitute(alert="A", expr=QUANTILE),
    ),
    "12-threshold-is-no-edge": (
        "latency-threshold-is-edge",
        RULE.substitute(
            alert="A",
            expr="histogram_quantile(0.95, sum by (le)"
            " (rate(http_request_duration_seconds_bucket[5m]))) > 0.8",
        ),
    ),
    "13-seconds-over-periods": (
        "throttling-by-periods",
        RULE.substitute(alert="A", expr=THROTTLED),
    ),
    "14-quota-on-gpu-limits": ("gpu-quota", QUOTA),
    "15-every-secret": ("no-secret-access", ROLE),
    "10-inline-scheduler": ("chaos-schedule-object", CHAOS),
    "11-in-tree-barman": ("no-in-tree-barman", DATABASE),
    "16-health-only": (
        "load-test-asks-the-service",
        LOAD_TEST.substitute(path="/health", options="vus: 100, duration: '5m'"),
    ),
    "16-closed-loop-below-its-rate": (
        "load-test-reaches-its-rate",
        LOAD_TEST.substitute(
            path="/v2/models/m",
            options="vus: 100, duration: '5m', thresholds: { http_reqs: ['rate>=1000'] }",
        ),
    ),
    "17-secrets-in-clear-text": (
        "backup-encrypts-secrets",
        JOB.substitute(name="backup", script="kubectl get secrets -A -o yaml > /backup/all.yaml"),
    ),
    "17-restore-from-elsewhere": (
        "restore-from-backup-path",
        "---".join(
            [
                JOB.substitute(name="backup", script="aws s3 cp /tmp/a.gz s3://backups/db/a.gz"),
                JOB.substitute(name="restore", script="aws s3 cp s3://backup/db/a.gz /tmp/a.gz"),
            ]
        ),
    ),
}
ELSEWHERE = {
    2: "two keys of one name are refused by the reader, before any rule: see below",
    9: "workflows are no manifests: zizmor refuses them in `make lint`: see below",
}


@pytest.mark.parametrize("name", CAUGHT)
def test_a_known_mistake_is_an_error_of_its_rule(name: str) -> None:
    rule, manifests = CAUGHT[name]
    build = build_sources(read_text(manifests, name))
    report = lint(build, Config(only=(rule,), schemas=SCHEMAS))
    assert not report.errors
    assert {finding.rule for finding in report.findings} == {rule}
    assert report.findings[0].severity.name == "error"
    assert report.findings[0].fix


def test_a_key_that_stands_twice_is_refused_with_its_line() -> None:
    twice = "affinity:\n  podAntiAffinity: {}\n  podAntiAffinity: {}\n"
    with pytest.raises(ManifestError, match=r"a\.yaml:3: duplicate key 'podAntiAffinity'"):
        read_text(twice, "a.yaml")


@pytest.mark.parametrize("reference", ["v4", "main"])
def test_an_action_by_tag_or_branch_is_refused(reference: str, tmp_path: Path) -> None:
    workflow = tmp_path / ".github" / "workflows" / "ci.yaml"
    workflow.parent.mkdir(parents=True)
    step = f"actions/checkout@{reference}"
    workflow.write_text(
        "on: push\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-24.04\n"
        f"    steps: [{{uses: {step}, with: {{persist-credentials: false}}}}]\n"
    )
    command = [str(ZIZMOR), "--offline", "--format", "json", str(workflow)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert {finding["ident"] for finding in json.loads(done.stdout)} >= {"unpinned-uses"}
    assert done.returncode != 0


def test_every_known_mistake_is_caught_or_has_a_reason() -> None:
    caught = {int(name.partition("-")[0]) for name in CAUGHT}
    assert caught | set(ELSEWHERE) == set(range(1, 18))
    assert not caught & set(ELSEWHERE)


def test_the_known_edges_are_those_that_the_server_exports() -> None:
    assert Config().histogram_edges["http_request_duration_seconds"] == REQUEST_EDGES
