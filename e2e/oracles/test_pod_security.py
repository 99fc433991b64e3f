"""The profiles pss-* say of a pod template, in every carrier, what the API server says of the Pod.

Samples are sent as Pods to namespaces that enforce a level of Kubernetes 1.36; those with ephemeral
containers as updates of pods that were there before. Two answers are compared: whether the pod is
admitted, and which controls a refusal names.
"""

from __future__ import annotations

import multiprocessing
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import pytest

from e2e.oracles.api_server import DRY_RUN, MERGE, Answer, ApiServer, Question
from e2e.oracles.carriers import CARRIERS
from e2e.oracles.figures import Figures
from e2e.oracles.pod_samples import HOSTS, Sample, samples
from e2e.oracles.pod_verdicts import Verdict, verdicts

SAMPLES = 5_000
SEED = 20_261_122
VERSION = "1.36"
LEVELS = ("baseline", "restricted")
LABEL = "pod-security.kubernetes.io/enforce"
CHUNK = 100
PROCESSES = 2
ENFORCED_WITHIN = 30
FEWEST = SAMPLES // 100

# What a refusal calls a control, and the rules of ours that say the same.
BASELINE = {
    "forbidden AppArmor profile": {"apparmor-unconfined"},
    "forbidden sysctls": {"unsafe-sysctls"},
    "host namespaces": {"host-ipc", "host-network", "host-pid"},
    "hostPort": {"host-port"},
    "hostProcess": {"windows-host-process"},
    "privileged": {"privileged-container"},
    "probe or lifecycle host": {"probe-host"},
    "seLinuxOptions": {"selinux-role", "selinux-type", "selinux-user"},
}
CONTROLS = {
    "baseline": BASELINE
    | {
        "hostPath volumes": {"host-path"},
        "non-default capabilities": {"dangerous-capabilities"},
        "seccompProfile": {"seccomp-unconfined"},
    },
    "restricted": BASELINE
    | {
        "allowPrivilegeEscalation != false": {"privilege-escalation"},
        "procMount": {"proc-mount"},
        "restricted volume types": {"host-path", "volume-types"},
        "runAsNonRoot != true": {"run-as-non-root"},
        "runAsUser=0": {"run-as-root-user"},
        "seccompProfile": {"seccomp-profile", "seccomp-unconfined"},
        "unrestricted capabilities": {
            "capabilities-add-bind-service",
            "capabilities-drop-all",
            "dangerous-capabilities",
        },
    },
}
_DETAIL = re.compile(r'\((?:[^()"]|"[^"]*")*\)')


@dataclass(frozen=True)
class Trial:
    """All answers of both sides, by level."""

    samples: Sequence[Sample]
    answers: dict[str, list[Answer]]
    verdicts: dict[str, list[Verdict]]


@pytest.fixture(scope="module")
def trial(api_server: ApiServer, figures: Figures) -> Trial:
    started = monotonic()
    hosts, drawn = samples(SEED, SAMPLES)
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as workers:
        asked = {
            level: [
                workers.submit(verdicts, [s.whole for s in drawn[i : i + CHUNK]], level, VERSION)
                for i in range(0, SAMPLES, CHUNK)
            ]
            for level in LEVELS
        }
        answers = {level: _answers(api_server, level, hosts, drawn) for level in LEVELS}
        found = Trial(drawn, answers, {level: _joined(asked[level]) for level in LEVELS})
    cases = SAMPLES * len(LEVELS) * len(CARRIERS)
    figures.add("pod security", cases, cases - len(_disagreements(found)), monotonic() - started)
    for level in LEVELS:
        admitted = sum(answer.accepted for answer in answers[level])
        figures.say(f"{level}: {admitted} of {SAMPLES} pods admitted, {SAMPLES - admitted} refused")
    return found


def _joined(chunks: Sequence[Future[list[Verdict]]]) -> list[Verdict]:
    return [verdict for chunk in chunks for verdict in chunk.result()]


def _answers(
    server: ApiServer, level: str, hosts: Sequence[dict[str, Any]], drawn: Sequence[Sample]
) -> list[Answer]:
    with ExitStack() as stack:
        labels = {LABEL: "privileged"}
        namespace = stack.enter_context(server.namespace(f"pods-{level}", labels))
        for number, template in enumerate(hosts):
            # A gate keeps them from every node: on a real cluster they never run.
            gated = {**template["spec"], "schedulingGates": [{"name": "example.com/oracle"}]}
            server.store(_pod({**template, "spec": gated}, namespace, f"host-{number}"))
        enforced = {LABEL: level, f"{LABEL}-version": f"v{VERSION}"}
        path = f"/api/v1/namespaces/{namespace}"
        server.change(path, {"metadata": {"labels": enforced}})
        _wait_until_enforced(server, level, namespace)
        return server.ask_all([_question(server, namespace, sample) for sample in drawn])


def _wait_until_enforced(server: ApiServer, level: str, namespace: str) -> None:
    """Admission reads labels from a cache: the first pods after a change are judged by the old."""
    containers = [{"name": "a", "image": "registry.example.com/a:1"}]
    template = {"metadata": {}, "spec": {"hostPID": True, "containers": containers}}
    question = server.create(_pod(template, namespace, "first"))
    last = monotonic() + ENFORCED_WITHIN
    while f'"{level}:v{VERSION}"' not in server.ask(question).message:
        assert monotonic() < last, f"{namespace} does not enforce {level} in {ENFORCED_WITHIN} s"
        sleep(0.1)


def _question(server: ApiServer, namespace: str, sample: Sample) -> Question:
    if sample.host is None:
        return server.create(_pod(sample.template, namespace, "sample"))
    path = f"/api/v1/namespaces/{namespace}/pods/host-{sample.host}/ephemeralcontainers"
    patch = {"spec": {"ephemeralContainers": list(sample.joining)}}
    return Question("PATCH", path, patch, DRY_RUN, MERGE)


def _pod(template: dict[str, Any], namespace: str, name: str) -> dict[str, Any]:
    metadata = {**template["metadata"], "name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}


def _disagreements(trial: Trial) -> list[str]:
    return [
        f"{level}, {CARRIERS[number][0]}: the API server "
        f"{'admits' if answer.accepted else 'refuses'} it, "
        f"{sorted(rules) or 'no rule'} is broken: {sample.whole}\n    {answer.message}"
        for level in LEVELS
        for sample, answer, verdict in zip(
            trial.samples, trial.answers[level], trial.verdicts[level], strict=True
        )
        for number, rules in enumerate(verdict.by_carrier)
        if answer.accepted is bool(rules)
    ]


def controls(answer: Answer) -> set[str]:
    """Return the controls that a refusal names, without what it says of each."""
    _, _, reasons = answer.message.partition(f'v{VERSION}": ')
    names = _DETAIL.sub("", reasons).split(",")
    return {name.strip().replace("profiles", "profile") for name in names if name.strip()}


def test_the_samples_are_pods_that_the_api_server_takes_or_refuses_for_their_security(
    trial: Trial,
) -> None:
    others = Counter(
        f"{answer.status} {answer.message}"
        for level in LEVELS
        for answer in trial.answers[level]
        if not answer.accepted and "violates PodSecurity" not in answer.message
    )
    assert not others, f"the generator makes pods that are no pods: {others.most_common(5)}"


def test_every_carrier_gets_the_verdict_of_the_api_server(trial: Trial) -> None:
    found = _disagreements(trial)
    shown = "\n".join(found[:10])
    assert not found, f"{len(found)} verdicts differ, the first of them:\n{shown}"


@pytest.mark.parametrize("level", LEVELS)
def test_every_refusal_names_the_controls_whose_rules_are_broken(trial: Trial, level: str) -> None:
    wrong = []
    for sample, answer, verdict in zip(
        trial.samples, trial.answers[level], trial.verdicts[level], strict=True
    ):
        broken = verdict.by_carrier[0]
        ours = {name for name, rules in CONTROLS[level].items() if broken & rules}
        differing = ours ^ controls(answer)
        if "host-network" in broken:  # there the API server itself makes each port a hostPort
            differing.discard("hostPort")
        if differing:
            wrong.append(f"{differing} of {sample.whole}\n    {answer.message}")
    assert not wrong, "\n".join([f"{len(wrong)} differ, the first of them:", *wrong[:5]])


@pytest.mark.parametrize("level", LEVELS)
def test_every_control_is_broken_and_kept_by_one_sample_in_a_hundred(
    trial: Trial, level: str
) -> None:
    broken = Counter(name for answer in trial.answers[level] for name in controls(answer))
    rare = {
        name: broken[name]
        for name in CONTROLS[level]
        if not FEWEST <= broken[name] <= SAMPLES - FEWEST
    }
    assert not rare, f"broken by too few or too many of {SAMPLES} samples: {rare}"
    assert set(broken) == set(CONTROLS[level])


@pytest.mark.parametrize("level", LEVELS)
def test_containers_that_join_a_running_pod_are_admitted_and_refused(
    trial: Trial, level: str
) -> None:
    joined = [
        answer.accepted
        for sample, answer in zip(trial.samples, trial.answers[level], strict=True)
        if sample.host is not None
    ]
    assert {sample.host for sample in trial.samples} >= set(range(HOSTS))
    assert FEWEST <= sum(joined) <= len(joined) - FEWEST
