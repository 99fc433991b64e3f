"""What a pod refers to exists: ConfigMaps, Secrets, ServiceAccounts, volume claims."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import entries, text
from gitops_policy.kubernetes.producers import (
    Reference,
    config_map_keys,
    references,
    secret_keys,
)
from gitops_policy.kubernetes.secret_makers import Keys
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World, once

_CONFIG_MAPS = "https://kubernetes.io/docs/concepts/configuration/configmap/"
_SECRETS = "https://kubernetes.io/docs/concepts/configuration/secret/"
_KUSTOMIZE = "https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/"


def _missing_keys(pod: Pod, reference: Reference, keys: Keys) -> Iterator[Problem]:
    for path, key in reference.keys:
        if keys is not None and key not in keys:
            yield pod.problem(
                path,
                f"{reference.kind} {reference.name!r} has no key {key!r}",
                f"it has {', '.join(sorted(keys)) or 'none'}",
            ).regardless()


@rule(
    id="config-map-exists",
    title="A ConfigMap and key that a pod reads exist",
    severity="error",
    rationale="A pod with a missing ConfigMap waits in CreateContainerConfigError for ever.",
    references=[_CONFIG_MAPS],
    kinds=PODS,
    known_as=["kube-linter:env-value-from"],
    needs_whole=True,
)
def config_map_exists(pod: Pod, world: World) -> Iterator[Problem]:
    """env, envFrom, volumes and projections resolve in the namespace, unless optional."""
    for reference in references(pod):
        if reference.kind != "ConfigMap" or reference.optional:
            continue
        keys = config_map_keys(world, pod.resource.namespace, reference.name)
        if keys is False:
            yield pod.problem(
                reference.path,
                f"there is no ConfigMap {reference.name!r} in {pod.resource.namespace!r}",
                "generate it; where it is generated, let kustomizeconfig.yaml cover this field",
            )
        elif not isinstance(keys, bool):
            yield from _missing_keys(pod, reference, keys)


@rule(
    id="secret-exists",
    title="Something makes each Secret and key that a pod reads",
    severity="error",
    rationale="A pod with a missing Secret waits in CreateContainerConfigError for ever.",
    references=[_SECRETS, "https://external-secrets.io/latest/api/externalsecret/"],
    kinds=PODS,
    known_as=["kube-linter:env-value-from"],
    needs_whole=True,
)
def secret_exists(pod: Pod, world: World) -> Iterator[Problem]:
    """A Secret, ExternalSecret, Certificate, SealedSecret or database makes it, unless optional."""
    made = secret_keys(world)
    for reference in references(pod):
        if reference.kind != "Secret" or reference.optional:
            continue
        place = (pod.resource.namespace, reference.name)
        if place not in made:
            yield pod.problem(
                reference.path,
                f"nothing makes a Secret {reference.name!r} in {pod.resource.namespace!r}",
                "add an ExternalSecret with this target name",
            )
        else:
            yield from _missing_keys(pod, reference, made[place])


@rule(
    id="policy-secret-exists",
    title="Something makes each Secret that a SecurityPolicy reads",
    severity="error",
    rationale="A SecurityPolicy without its credentials answers 500, or is not programmed at all.",
    references=["https://gateway.envoyproxy.io/docs/tasks/security/apikey-auth/"],
    kinds=["gateway.envoyproxy.io/SecurityPolicy"],
    needs_whole=True,
)
def policy_secret_exists(policy: Resource, world: World) -> Iterator[Problem]:
    """The credentialRefs of API keys and the users Secret of basic auth resolve."""
    base = ("spec", "apiKeyAuth", "credentialRefs")
    places = [((*base, i, "name"), item) for i, item in entries(policy.content, *base)]
    for path, item in places:
        namespace = text(item, "namespace") or policy.namespace
        if (namespace, text(item, "name")) not in secret_keys(world):
            yield policy.problem(
                path,
                f"nothing makes a Secret {text(item, 'name')!r} in {namespace!r}",
                "add an ExternalSecret with this target name",
            )


@rule(
    id="generated-name-resolved",
    title="A generated ConfigMap or Secret is referred to by its hashed name",
    severity="error",
    rationale=(
        "Kustomize does not rewrite names in kinds it does not know: the pods wait, unwarned."
    ),
    references=[_KUSTOMIZE + "configmapgenerator/"],
    kinds=PODS,
)
def generated_name_resolved(pod: Pod, world: World) -> Iterator[Problem]:
    """No reference is a generator's plain name while only the hashed name exists."""
    for reference in references(pod):
        hashed = _hashed(world).get((reference.kind, pod.resource.namespace, reference.name))
        exists = world.index.get(reference.kind, pod.resource.namespace, reference.name)
        if hashed and exists is None:
            yield pod.problem(
                reference.path,
                f"{reference.name!r} was generated as {hashed[0]!r}",
                f"add this field of {pod.resource.kind} to kustomizeconfig.yaml (nameReference)",
            )


@rule(
    id="service-account-exists",
    title="A pod's ServiceAccount exists",
    severity="error",
    rationale="Pods of a missing ServiceAccount are not created; only an event says so.",
    references=["https://kubernetes.io/docs/concepts/security/service-accounts/"],
    kinds=PODS,
    known_as=["kube-linter:non-existent-service-account", "kubescape:C-0307"],
    needs_whole=True,
)
def service_account_exists(pod: Pod, world: World) -> Iterator[Problem]:
    """serviceAccountName is `default`, absent, or a ServiceAccount of the namespace.

    The API server reads the deprecated serviceAccount where serviceAccountName is absent.
    """
    fields = ("serviceAccountName", "serviceAccount")
    where = next((name for name in fields if text(pod.spec, name)), "")
    name = text(pod.spec, where)
    if name in ("", "default"):
        return
    if world.index.get("ServiceAccount", pod.resource.namespace, name) is None:
        yield pod.problem(
            (where,),
            f"there is no ServiceAccount {name!r} in {pod.resource.namespace!r}",
            "add it beside the workload",
        )


@rule(
    id="volume-claim-exists",
    title="A pod's PersistentVolumeClaim exists",
    severity="error",
    rationale="A pod with a missing claim stays Pending.",
    references=["https://kubernetes.io/docs/concepts/storage/persistent-volumes/"],
    kinds=PODS,
    needs_whole=True,
)
def volume_claim_exists(pod: Pod, world: World) -> Iterator[Problem]:
    """Each claimName is a PersistentVolumeClaim of the namespace.

    A StatefulSet's claim template takes the place of a volume of its name.
    """
    templates = entries(pod.resource.spec, "volumeClaimTemplates")
    claimed = {text(template, "metadata", "name") for _, template in templates}
    for i, volume in pod.volumes:
        if text(volume, "name") in claimed and pod.resource.group_kind == "apps/StatefulSet":
            continue
        name = text(volume, "persistentVolumeClaim", "claimName")
        claim = world.index.get("PersistentVolumeClaim", pod.resource.namespace, name)
        if name and claim is None:
            yield pod.problem(
                ("volumes", i, "persistentVolumeClaim", "claimName"),
                f"there is no PersistentVolumeClaim {name!r}",
                "add it",
            )


@once
def _hashed(world: World) -> dict[tuple[str, str, str], list[str]]:
    """Return the names with a generator's hash by kind, namespace and plain name."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for resource in world.index.of_kind("ConfigMap", "Secret"):
        plain, _, end = resource.name.rpartition("-")
        if re.fullmatch(r"[a-z0-9]{10}", end):
            key = (resource.kind, resource.namespace, plain)
            found.setdefault(key, []).append(resource.name)
    return found
