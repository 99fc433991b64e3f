"""A Job of an analysis is run as its manifest says, and judged by how it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canary_gate import Phase, ProviderError
from release_play.jobs import LocalJob, LocalJobs
from release_play.pods import Node
from release_play.processes import ProcessGroup

NODE = Node({"WHERE": "here"}, {"keys": {"analysis": "k1", "other": "k2"}})


def container(name: str, code: str, **fields: Any) -> dict[str, Any]:
    mounts = [{"name": "shared", "mountPath": "/shared"}, {"name": "keys", "mountPath": "/keys"}]
    return {
        "name": name,
        "command": ["python"],
        "args": ["-c", code],
        "env": [{"name": "SHARED", "value": "/shared/file"}, {"name": "KEYS", "value": "/keys"}],
        "volumeMounts": mounts,
        **fields,
    }


def manifest(first: str, then: str, **spec: Any) -> dict[str, Any]:
    pod = {
        "initContainers": [container("first", first)],
        "containers": [container("then", then)],
        "volumes": [
            {"name": "shared", "emptyDir": {}},
            {
                "name": "keys",
                "secret": {"secretName": "keys", "items": [{"key": "analysis", "path": "key"}]},
            },
        ],
    }
    return {
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 60, **spec, "template": {"spec": pod}}
    }


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[LocalJobs]:
    with ProcessGroup(tmp_path / "logs") as group:
        yield LocalJobs(group, tmp_path / "pods", NODE, "ns", [], "abc")


def ended(job: LocalJob) -> tuple[Phase, str]:
    deadline = time.monotonic() + 30
    while (state := job.state())[0] is Phase.RUNNING:
        assert time.monotonic() < deadline, "the job does not end"
        time.sleep(0.05)
    return state


WRITE = "import os; open(os.environ['SHARED'], 'w').write(os.environ['WHERE'])"
READ = (
    "import os; print('log'); print(open(os.environ['SHARED']).read(),"
    " os.listdir(os.environ['KEYS']), open(os.environ['KEYS'] + '/key').read())"
)


def test_containers_run_one_after_the_other_in_one_pod(jobs: LocalJobs) -> None:
    job = jobs.start("golden-set", manifest(WRITE, READ))
    assert ended(job) == (Phase.SUCCESSFUL, "here ['key'] k1")
    assert jobs.group.running == []


def test_a_container_that_fails_is_the_end_of_the_job(jobs: LocalJobs, tmp_path: Path) -> None:
    job = jobs.start("golden-set", manifest("import sys; print('no model'); sys.exit(3)", WRITE))
    assert ended(job) == (Phase.FAILED, "no model")
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        "golden-set-abc-1.first.log"
    ]


def test_a_container_that_says_nothing_is_known_by_its_status(jobs: LocalJobs) -> None:
    job = jobs.start("load", manifest("", "import sys; sys.exit(1)"))
    assert ended(job) == (Phase.FAILED, "load-abc-1.then ended with status 1")


def test_a_job_is_stopped_at_its_deadline(jobs: LocalJobs) -> None:
    slow = manifest("import time; time.sleep(60)", "", activeDeadlineSeconds=0)
    job = jobs.start("load", slow)
    assert ended(job) == (Phase.FAILED, "activeDeadlineSeconds is over")
    assert jobs.group.running == []


def test_a_job_that_is_stopped_starts_nothing_more(jobs: LocalJobs) -> None:
    job = jobs.start("load", manifest("import time; time.sleep(60)", WRITE))
    job.stop()
    jobs.advance()
    assert job.state()[0] is Phase.INCONCLUSIVE
    assert jobs.group.running == []


def test_between_two_looks_a_job_goes_on(jobs: LocalJobs, tmp_path: Path) -> None:
    jobs.start("golden-set", manifest(WRITE, READ))
    deadline = time.monotonic() + 30
    while not (tmp_path / "logs" / "golden-set-abc-1.then.log").exists():
        assert time.monotonic() < deadline, "the second container does not start"
        jobs.advance()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"backoffLimit": 6}, "job load-abc-1: a job that is tried again"),
        ({"volume": {"name": "x", "hostPath": {}}}, "neither emptyDir nor secret"),
        (
            {
                "volume": {
                    "name": "x",
                    "secret": {"secretName": "keys", "items": [{"key": "no", "path": "p"}]},
                }
            },
            "Secret keys has no key no",
        ),
        ({"command": ["does-not-exist"]}, "could not be started"),
    ],
)
def test_what_this_machine_cannot_run_is_an_error_of_the_provider(
    jobs: LocalJobs, change: dict[str, Any], reason: str
) -> None:
    wanted = manifest("", "", backoffLimit=change.get("backoffLimit", 0))
    pod = wanted["spec"]["template"]["spec"]
    pod["volumes"] += [change["volume"]] if "volume" in change else []
    pod["initContainers"][0]["command"] = change.get("command", ["python"])
    with pytest.raises(ProviderError, match=reason):
        jobs.start("load", wanted)
    assert jobs.jobs == []


def test_a_pod_that_could_not_tell_begins_again_as_the_policy_of_its_failures_says(
    jobs: LocalJobs, tmp_path: Path
) -> None:
    again = {"containerName": "then", "operator": "In", "values": [3]}
    policy = {"rules": [{"action": "Ignore", "onExitCodes": again}]}
    tries = tmp_path / "tries"
    code = f"import sys; f = open({str(tries)!r}, 'a'); f.write('x'); sys.exit(3 * (f.tell() < 2))"
    job = jobs.start("load", manifest("print('fetched')", code, podFailurePolicy=policy))
    assert ended(job)[0] is Phase.SUCCESSFUL
    assert tries.read_text() == "xx"

    other = jobs.start("load", manifest("import sys; sys.exit(3)", code, podFailurePolicy=policy))
    assert ended(other)[0] is Phase.FAILED, "another container's status is not meant"
