"""Fixtures of the scenarios: the cluster, its models, environments, evidence, time limits."""

from __future__ import annotations

import re
import secrets
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kr8s
import pytest

from e2e.exclusion import held
from e2e.scenarios.argo_cd import ArgoCD
from e2e.scenarios.environment import Control, Environment, OpenEnvironment, prepare_environment
from e2e.scenarios.evidence import logs, report
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.installation import Installed, install
from e2e.scenarios.keeping import Keeper
from e2e.scenarios.models import Models
from e2e.scenarios.parts import Parts
from e2e.scenarios.places import OUTPUT, TOOLS, NoClusterError, Places, find_places
from e2e.scenarios.scheduling import Scheduling, scope
from e2e.scenarios.suitability import require_suitable
from e2e.scenarios.waiting import PATIENCE

SCENARIOS = OUTPUT / "scenarios"
SETUP_SECONDS = 600
CALL_SECONDS = 420
TEARDOWN_SECONDS = 240
EVIDENCE = pytest.StashKey[Evidence]()

Removal = Callable[[Environment], None]


class TimeIsUpError(Exception):
    """A test, its setup or its teardown took longer than its limit."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "limit(seconds): the longest that the test itself may take")
    config.addinivalue_line(
        "markers", "alone(*parts): breaks what other scenarios need, and oracles of these parts"
    )
    config.addinivalue_line("markers", "local: needs the local cluster's parts as processes")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones first, so that all workers end together; then one runs what must run alone.

    The oracles come after it: another worker takes them meanwhile.
    """
    for item in items:
        marked = item.get_closest_marker("alone") is not None
        if marked != (scope(item.nodeid) == "alone"):
            raise pytest.UsageError(
                f"{item.nodeid}: what is marked `alone` is named in scheduling.py, and nothing else"
            )
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[int, float]:
    if item.path.parent != Path(__file__).parent:
        return 3, 0.0
    if alone := item.get_closest_marker("alone"):
        # Those last that an oracle would wait for.
        return (2 if alone.args else 1), 0.0
    return 0, -_limit(item)


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("limit")
    return float(marker.args[0]) if marker else CALL_SECONDS


@contextmanager
def _limited(seconds: float, what: str) -> Iterator[None]:
    seconds *= PATIENCE

    def ring(*_: object) -> None:
        raise TimeIsUpError(f"{what} took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.stash[EVIDENCE] = Evidence(item.nodeid, _title(item))
    with _limited(SETUP_SECONDS, "setup"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _limited(_limit(item), "the scenario"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with _limited(TEARDOWN_SECONDS, "teardown"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    made: pytest.TestReport = yield
    evidence = item.stash.get(EVIDENCE, None)
    if evidence is None:
        return made
    evidence.seconds[call.when] = call.duration
    if made.skipped:
        evidence.outcome = "skipped"
    if made.failed:
        evidence.fail(f"{call.when}: {made.longreprtext}", lambda: _logs(evidence))
    evidence.write(SCENARIOS)
    return made


def _title(item: pytest.Item) -> str:
    words = re.sub(r"^test_", "", item.name.split("[")[0]).replace("_", " ")
    parameters = re.search(r"\[(.*)\]", item.name)
    return f"{words}: {parameters.group(1)}" if parameters else words


def _logs(evidence: Evidence) -> dict[str, str]:
    try:
        return logs.collect(find_places(), evidence.environments)
    except Exception as error:
        return {"logs": f"could not be collected: {error}"}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The worker that started the others writes the page."""
    if not hasattr(session.config, "workerinput") and SCENARIOS.is_dir():
        report.write(OUTPUT)


@pytest.fixture(scope="session")
def places() -> Places:
    """Where the parts of the cluster answer."""
    try:
        return find_places()
    except NoClusterError as error:
        pytest.exit(str(error), returncode=4)


@pytest.fixture(scope="session")
def control(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Control:
    """The API server and Argo CD."""
    with warnings.catch_warnings():
        # kr8s names the versions that it was tested with.
        warnings.simplefilter("ignore", UserWarning)
        api = kr8s.api(kubeconfig=str(places.kubeconfig))
        try:
            require_suitable(api)
        except NoClusterError as error:
            pytest.exit(str(error), returncode=4)
    folder = tmp_path_factory.mktemp("argocd")
    return Control(places, api, ArgoCD(TOOLS / "argocd", places.argocd, folder, api))


@pytest.fixture(scope="session")
def cluster_id(control: Control) -> str:
    """Unlike that of every other cluster; what is noted of one does not count for the next."""
    # kube-system will not do: every local cluster begins with a copy of one etcd, and so with its.
    namespace = next(iter(control.api.get("namespaces", "argocd")))
    return str(namespace.raw["metadata"]["uid"])


@pytest.fixture(scope="session")
def installed(control: Control, cluster_id: str) -> Installed:
    """Root is applied, and what it brings is up; how long each Application took."""
    return install(control, OUTPUT, cluster_id)


@pytest.fixture(scope="session")
def models(control: Control, cluster_id: str) -> Models:
    """The versions that scenarios release, by name."""
    return Models(control.places.mlflow, cluster_id, OUTPUT)


@pytest.fixture(scope="session")
def removal() -> Iterator[Removal]:
    """Removes environments while the next test begins; one that stays fails the last test."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        begun: list[Future[None]] = []
        yield lambda environment: begun.append(pool.submit(environment.remove))
    for each in begun:
        each.result()


@pytest.fixture
def parts(places: Places) -> Parts:
    """The parts of the local cluster; on any other the test is skipped."""
    if places.local is None:
        pytest.skip("stops parts of the local cluster")
    return Parts(places.local)


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """What the report says of this test."""
    found: Evidence = request.node.stash[EVIDENCE]
    return found


@pytest.fixture
def share_the_cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    """Scenarios share the cluster; one marked `alone` waits for the others, and they for it."""
    marker = request.node.get_closest_marker("alone")
    with ExitStack() as all_held:
        all_held.enter_context(held("cluster", alone=marker is not None))
        for part in marker.args if marker else ():
            all_held.enter_context(held(part, alone=True))
        yield


@pytest.fixture
def open_in_cluster(
    request: pytest.FixtureRequest,
    share_the_cluster: None,
    installed: Installed,
    control: Control,
    removal: Removal,
    evidence: Evidence,
    tmp_path: Path,
) -> Iterator[OpenEnvironment]:
    """Makes environments of the test's own, removed after it: `open_in_cluster("production")`.

    With `install=False` only the branch is there, and nothing in the cluster yet.
    """
    with _opened(control, removal, request.node.name, tmp_path) as opened:

        def make(template: str = "staging", *, install: bool = True) -> Environment:
            begin = time.monotonic()
            environment = opened.prepare(template)
            evidence.environments.append(environment)
            if install:
                environment.install()
            evidence.seconds[f"install {template}"] = time.monotonic() - begin
            return environment

        yield make


@dataclass
class _Opened:
    """Environments of one test, and what their names and folders begin with."""

    control: Control
    test: str
    folder: Path
    environments: list[Environment] = field(default_factory=list)

    def prepare(self, template: str) -> Environment:
        name = _name(self.test)
        environment = prepare_environment(self.control, name, template, self.folder / name)
        self.environments.append(environment)
        return environment


@contextmanager
def _opened(control: Control, removal: Removal, test: str, folder: Path) -> Iterator[_Opened]:
    """All are removed at the end, also where a test has failed."""
    opened = _Opened(control, test, folder)
    try:
        yield opened
    finally:
        for environment in opened.environments:
            environment.close()
            removal(environment)


@pytest.fixture(scope="session")
def keeper(
    control: Control, removal: Removal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Keeper]:
    """What `staging` and `production` lend; all of it is removed at the end."""
    keeper = Keeper(control, tmp_path_factory.mktemp("kept"), removal)
    yield keeper
    keeper.close()


@pytest.fixture
def staging(
    share_the_cluster: None, installed: Installed, keeper: Keeper, evidence: Evidence
) -> Iterator[Environment]:
    """An environment like staging: syncs by itself."""
    with keeper.lend("staging", evidence) as environment:
        yield environment


@pytest.fixture
def production(
    share_the_cluster: None, installed: Installed, keeper: Keeper, evidence: Evidence
) -> Iterator[Environment]:
    """An environment like production: a person syncs it."""
    with keeper.lend("production", evidence) as environment:
        yield environment


def _name(test: str) -> str:
    """A short name of a namespace: from the test, and unlike any other."""
    words = re.sub(r"[^a-z0-9]+", "-", test.lower().removeprefix("test_")).strip("-")
    return f"{words[:24].strip('-')}-{secrets.token_hex(2)}"
