"""Autoscalers: a target that exists, room to scale, one owner of the count."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, mapping, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.amounts import container_amount
from gitops_policy.kubernetes.demand import container_range
from gitops_policy.kubernetes.scaling import (
    HPA,
    SCALABLE,
    SCALED_OBJECT,
    autoscalers,
    bounds,
    minimum_field,
    target,
)
from gitops_policy.kubernetes.selectors import services_of
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_HPA_DOCS = "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/"
_ROLLOUT_HPA = "https://argoproj.github.io/argo-rollouts/features/hpa-support/"


@rule(
    id="hpa-minimum-replicas",
    title="An autoscaler keeps several replicas",
    severity="error",
    rationale="The autoscaler's minimum is what is left at night, when nodes are drained.",
    references=[_HPA_DOCS],
    kinds=[HPA, SCALED_OBJECT],
    known_as=[
        "kube-score:horizontalpodautoscaler-replicas",
        "polaris:hpaMinAvailability",
        "datree:13",
        "gatekeeper:horizontalpodautoscaler",
        "gatekeeper:k8shorizontalpodautoscaler",
    ],
)
def hpa_minimum_replicas(autoscaler: Resource, world: World) -> Iterator[Problem]:
    """The minimum reaches the configured one; dev is exempt, workers may scale to zero."""
    low, wanted = bounds(autoscaler)[0], world.config.minimum_replicas
    if world.environment != "dev" and low < wanted:
        worker = low == 0 and not _serves(autoscaler, world)
        yield autoscaler.problem(
            ("spec", minimum_field(autoscaler)),
            f"the minimum is {low}, at least {wanted} are wanted",
            f"set {minimum_field(autoscaler)} to {wanted} or more",
            severity=Severity.info if worker else None,
        )


def _serves(autoscaler: Resource, world: World) -> bool:
    """Say whether a Service leads to what the autoscaler scales; True if it is not in the build."""
    kind, name = target(autoscaler)
    workload = world.index.get(kind, autoscaler.namespace, name)
    return workload is None or any(services_of(pod, world) for pod in world.pods_of(workload))


@rule(
    id="hpa-maximum-above-minimum",
    title="An autoscaler has room to scale",
    severity="warning",
    rationale="A maximum at or below the minimum is an autoscaler that never scales.",
    references=[_HPA_DOCS],
    kinds=[HPA, SCALED_OBJECT],
    known_as=[
        "polaris:hpaMaxAvailability",
        "datree:14",
        "gatekeeper:horizontalpodautoscaler",
        "gatekeeper:k8shorizontalpodautoscaler",
    ],
)
def hpa_maximum_above_minimum(autoscaler: Resource) -> Iterator[Problem]:
    """The maximum is larger than the minimum."""
    low, high = bounds(autoscaler)
    if high <= low:
        name = minimum_field(autoscaler).replace("min", "max")
        yield autoscaler.problem(
            ("spec", name), f"the maximum {high} is not above the minimum {low}", f"raise {name}"
        )


@rule(
    id="hpa-target-exists",
    title="An autoscaler scales something that exists",
    severity="error",
    rationale="An autoscaler of a missing workload scales nothing, and only its status says so.",
    references=[_HPA_DOCS, _ROLLOUT_HPA],
    kinds=[HPA, SCALED_OBJECT],
    known_as=[
        "kube-linter:dangling-horizontalpodautoscaler",
        "kube-score:horizontalpodautoscaler-has-target",
        "kubescape:C-0300",
        "gatekeeper:enforceScaleTargetRef",
        "gatekeeper:horizontalpodautoscaler",
        "gatekeeper:k8shorizontalpodautoscaler",
    ],
    needs_whole=True,
)
def hpa_target_exists(autoscaler: Resource, world: World) -> Iterator[Problem]:
    """scaleTargetRef names a workload of the same namespace with the right apiVersion."""
    kind, name = target(autoscaler)
    version = text(autoscaler.spec, "scaleTargetRef", "apiVersion")
    found = world.index.get(kind, autoscaler.namespace, name)
    if found is None:
        yield autoscaler.problem(
            ("spec", "scaleTargetRef", "name"),
            f"there is no {kind} {name!r} in namespace {autoscaler.namespace!r}",
            "name a workload of the same namespace; a Rollout is argoproj.io/v1alpha1",
        )
    elif version and version != found.api_version:
        yield autoscaler.problem(
            ("spec", "scaleTargetRef", "apiVersion"),
            f"apiVersion is {version}, the workload's is {found.api_version}",
            f"write {found.api_version}",
        ).regardless()


@rule(
    id="hpa-resource-requested",
    title="What an autoscaler measures by share is requested",
    severity="error",
    rationale="A share of a request that is missing cannot be worked out: nothing scales.",
    references=[_HPA_DOCS + "#support-for-resource-metrics"],
    kinds=[HPA],
)
def hpa_resource_requested(autoscaler: Resource, world: World) -> Iterator[Problem]:
    """A utilization metric is of cpu or memory, and each container of the target requests it."""
    kind, name = target(autoscaler)
    workload = world.index.get(kind, autoscaler.namespace, name)
    limits = container_range(world, autoscaler.namespace)
    for path, resource, only in _utilizations(autoscaler):
        if resource not in ("cpu", "memory"):
            yield autoscaler.problem(
                path,
                f"{resource} is not measured: the resource metrics are cpu and memory",
                "use a metric of type Pods or External",
            )
            continue
        for pod in world.pods_of(workload) if workload else ():
            measured = [c for c in pod.containers if c.group == "containers" or c.sidecar]
            lacking = [
                container.name
                for container in measured
                if only in ("", container.name)
                and container_amount(container, "requests", resource, limits) is None
            ]
            if lacking:
                yield autoscaler.problem(
                    path,
                    f"container {lacking[0]!r} of {workload.kind if workload else kind} {name!r}"
                    f" requests no {resource}",
                    "request it in every container, or use an average value",
                )


def _utilizations(autoscaler: Resource) -> Iterator[tuple[Path, str, str]]:
    """Yield where a metric is a share of requests, of which resource, in which container."""
    if "targetCPUUtilizationPercentage" in autoscaler.spec:
        yield ("spec", "targetCPUUtilizationPercentage"), "cpu", ""
    for i, metric in entries(autoscaler.spec, "metrics"):
        for source in ("resource", "containerResource"):
            if text(metric, source, "target", "type") == "Utilization":
                path = ("spec", "metrics", i, source, "name")
                yield path, text(metric, source, "name"), text(metric, source, "container")


@rule(
    id="no-replicas-with-hpa",
    title="What an autoscaler scales has no replicas in Git",
    severity="error",
    rationale="Every sync would set the count back to the one in Git, in the middle of the load.",
    references=[_HPA_DOCS + "#migrating-deployments-and-statefulsets-to-horizontal-autoscaling"],
    kinds=SCALABLE,
    known_as=["kube-score:deployment-targeted-by-hpa-does-not-have-replicas-configured"],
)
def no_replicas_with_hpa(workload: Resource, world: World) -> Iterator[Problem]:
    """`spec.replicas` is absent where an autoscaler owns it."""
    if "replicas" in workload.spec:
        for found in autoscalers(workload, world):
            if world.apart(found, workload):
                continue
            yield workload.problem(
                ("spec", "replicas"),
                f"{found.kind} {found.name!r} owns the replica count",
                "remove replicas",
            )


@rule(
    id="one-hpa-per-target",
    title="One autoscaler per workload",
    severity="error",
    rationale="Two autoscalers of one workload overwrite each other's count.",
    references=[_HPA_DOCS],
    kinds=[HPA, SCALED_OBJECT],
    known_as=["kyverno:prevent-duplicate-hpa"],
)
def one_hpa_per_target(autoscaler: Resource, world: World) -> Iterator[Problem]:
    """No autoscaler before this one has the same target."""
    kind, name = target(autoscaler)
    workload = world.index.get(kind, autoscaler.namespace, name)
    if workload is not None:
        others = autoscalers(workload, world)
    else:
        others = [
            other
            for other in world.index.of_kind(HPA, SCALED_OBJECT)
            if (other.namespace, target(other)) == (autoscaler.namespace, (kind, name))
        ]
    others = [other for other in others if not world.apart(other, autoscaler)]
    if others and others[0] is not autoscaler:
        yield autoscaler.problem(
            ("spec", "scaleTargetRef"),
            f"{others[0].kind} {others[0].name!r} scales the same workload",
            "keep one of them",
        )


@rule(
    id="no-vpa-with-hpa",
    title="A VPA that acts and an HPA do not share a resource metric",
    severity="error",
    rationale="Each undoes what the other did: smaller pods look busier, more pods look idler.",
    references=[
        "https://kubernetes.io/docs/concepts/workloads/autoscaling/vertical-pod-autoscale/"
    ],
    kinds=["autoscaling.k8s.io/VerticalPodAutoscaler"],
)
def no_vpa_with_hpa(vpa: Resource, world: World) -> Iterator[Problem]:
    """A VPA on the target of an HPA for CPU or memory only recommends."""
    if text(vpa.spec, "updatePolicy", "updateMode") in ("Off", "Initial"):
        return
    reference = mapping(vpa.spec, "targetRef")
    group = text(reference, "apiVersion").rpartition("/")[0]
    wanted = (f"{group}/{text(reference, 'kind')}", text(reference, "name"))
    for hpa in world.index.of_kind(HPA):
        metrics = {
            text(metric, source, "name")
            for _, metric in entries(hpa.spec, "metrics")
            for source in ("resource", "containerResource")
        }
        if "targetCPUUtilizationPercentage" in hpa.spec or not hpa.spec.get("metrics"):
            metrics.add("cpu")
        same = hpa.namespace == vpa.namespace and target(hpa) == wanted
        if same and metrics & {"cpu", "memory"}:
            yield vpa.problem(
                ("spec", "updatePolicy", "updateMode"),
                f"HorizontalPodAutoscaler {hpa.name!r} scales the same workload by CPU or memory",
                'set updateMode: "Off": recommendations only',
            )


@rule(
    id="no-dynamic-stable-scale-with-hpa",
    title="No dynamicStableScale under an autoscaler",
    severity="error",
    rationale="The autoscaler reads the count that dynamicStableScale changes; both then drift.",
    references=[
        "https://argoproj.github.io/argo-rollouts/features/canary/#dynamic-stable-scale-with-traffic-routing",
        _ROLLOUT_HPA,
    ],
    kinds=["argoproj.io/Rollout"],
)
def no_dynamic_stable_scale_with_hpa(rollout: Resource, world: World) -> Iterator[Problem]:
    """`dynamicStableScale` is not set where an autoscaler owns the replicas."""
    path = ("spec", "strategy", "canary", "dynamicStableScale")
    if field(rollout.content, *path) is True and autoscalers(rollout, world):
        yield rollout.problem(path, "an autoscaler owns the replicas", "remove dynamicStableScale")
