"""Several workers: shared out, replaced, blamed, stopped, each with real processes."""

import multiprocessing
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from inference_server.observability.families import EXITS
from inference_server.observability.store import Store
from inference_server.settings import Settings
from inference_server.supervisor.board import Board, Place
from inference_server.supervisor.quarantine import Quarantine
from inference_server.supervisor.supervisor import Supervisor

from .conftest import PATIENCE, Server, Start, wait_until

ROW = {"instances": [[1, 1, 1]]}
POISON = {"instances": [[666, 1, 1]]}

# Loaded by the interpreter at its start: the model dies of one input, as native code would.
DEADLY = """
import os, signal, sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "inference_server.models.model":
            return None
        spec = PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            run = module.Model.run
            def deadly(self, feeds, *more):
                if any((feed == 666).any() for feed in feeds.values()):
                    if "DEADLY_SIGNAL" not in os.environ:
                        while True:
                            pass
                    signal.raise_signal(int(os.environ["DEADLY_SIGNAL"]))
                return run(self, feeds, *more)
            module.Model.run = deadly
            init = module.Model.__init__
            def deadly_init(self, file, *more):
                if os.environ.get("DEADLY_LOAD") == f"{file.name}/{file.version}":
                    signal.raise_signal(signal.SIGABRT)
                init(self, file, *more)
            module.Model.__init__ = deadly_init
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder)
"""


def workers_of(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sockets_of(pid: int) -> int:
    links = Path(f"/proc/{pid}/fd").iterdir()
    return sum(str(link.readlink()).startswith("socket:") for link in links)


def reasons(server: Server) -> list[str]:
    ended = [event for event in server.events() if event["message"].endswith(" ended")]
    return [event["reason"] for event in ended]


def quarantined(folder: Path) -> str:
    """The quarantine's lines; a file that is being made has none yet."""
    file = folder / "quarantine"
    return file.read_text() if file.exists() else ""


def customized(folder: Path, code: str) -> dict[str, str]:
    """An environment whose Python processes run this code first."""
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def models_of_each_worker(server: Server) -> list[dict[str, str]]:
    """State and reason of each version, asked by connections that are open at once."""
    found = []
    with ExitStack() as stack:
        for _ in range(4):
            client = httpx.Client(base_url=server.client.base_url, timeout=PATIENCE)
            models = stack.enter_context(client).get("/health").json()["models"]
            found.append({m["version"]: f"{m['state']}: {m['reason']}" for m in models})
    return found


@pytest.fixture
def deadly(tmp_path: Path) -> dict[str, str]:
    return customized(tmp_path, DEADLY)


def test_a_killed_worker_is_replaced_while_the_other_serves(repository: Path, start: Start) -> None:
    server = start(repository, "--workers=2")
    before = workers_of(server)
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: before[0] not in workers_of(server) and len(workers_of(server)) == 2)
    for _ in range(10):
        with httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as client:
            assert client.post("/predict", json=ROW).status_code == 200
            assert client.get("/v2/health/ready").status_code == 200
    assert before[1] in workers_of(server)
    wait_until(lambda: reasons(server) == ["SIGKILL"])
    server.client.close()
    server.client = httpx.Client(base_url=server.client.base_url, timeout=PATIENCE)
    assert server.metric('worker_exits_total{reason="SIGKILL"}') == 1


def test_each_worker_gets_its_share_of_the_connections(repository: Path, start: Start) -> None:
    server = start(repository, "--workers=2")
    server.client.close()
    workers = workers_of(server)
    before = [sockets_of(pid) for pid in workers]
    address = (server.client.base_url.host, server.client.base_url.port)
    connections = [socket.create_connection(address) for _ in range(16)]
    try:

        def gained() -> list[int]:
            return [sockets_of(pid) - old for pid, old in zip(workers, before, strict=True)]

        wait_until(lambda: min(gained()) >= 7)
    finally:
        for connection in connections:
            connection.close()


def test_a_model_that_faults_is_quarantined_at_once(
    repository: Path, start: Start, deadly: dict[str, str], tmp_path: Path
) -> None:
    environment = deadly | {"DEADLY_SIGNAL": str(int(signal.SIGSEGV))}
    folder = tmp_path / "state"
    server = start(repository, "--workers=2", f"--state-folder={folder}", environment=environment)
    with pytest.raises(httpx.TransportError):
        server.post("/predict", POISON)
    wait_until(lambda: quarantined(folder) == "flowers/10 SIGSEGV\n")
    wait_until(lambda: reasons(server) == ["SIGSEGV"])
    wait_until(lambda: all("SIGSEGV" in models["10"] for models in models_of_each_worker(server)))
    for _ in range(10):
        with httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as client:
            older = client.post("/predict?model=flowers&version=2", json=ROW)
            assert older.status_code == 200, older.text


def test_a_model_that_faults_while_it_is_loaded_does_not_keep_the_others_from_serving(
    repository: Path, start: Start, deadly: dict[str, str], tmp_path: Path
) -> None:
    environment = deadly | {"DEADLY_LOAD": "flowers/10"}
    folder = tmp_path / "state"
    server = start(
        repository,
        "--workers=2",
        f"--state-folder={folder}",
        environment=environment,
        until="/v2/models/flowers/versions/2/ready",
    )
    wait_until(lambda: quarantined(folder) == "flowers/10 SIGABRT\n")
    wait_until(lambda: all("SIGABRT" in models["10"] for models in models_of_each_worker(server)))
    assert server.post("/predict?model=flowers&version=2", ROW).status_code == 200


def test_a_worker_that_hangs_in_a_model_is_replaced_without_it(
    repository: Path, start: Start, deadly: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    server = start(
        repository,
        "--workers=2",
        "--hang-seconds=2",
        f"--state-folder={folder}",
        environment=deadly,
    )
    with pytest.raises(httpx.TransportError):
        server.post("/predict", POISON)
    wait_until(lambda: quarantined(folder) == "flowers/10 hang\n")
    wait_until(lambda: reasons(server) == ["hang"])


def test_a_model_that_runs_at_two_kills_is_quarantined(
    repository: Path, start: Start, deadly: dict[str, str], tmp_path: Path
) -> None:
    environment = deadly | {"DEADLY_SIGNAL": str(int(signal.SIGKILL))}
    folder = tmp_path / "state"
    server = start(repository, "--workers=2", f"--state-folder={folder}", environment=environment)
    for deaths in (1, 2):
        assert not (folder / "quarantine").exists()
        with pytest.raises(httpx.TransportError):
            server.post("/predict", POISON)
        wait_until(lambda deaths=deaths: len(reasons(server)) == deaths)
    wait_until(lambda: quarantined(folder) == "flowers/10 SIGKILL\n")


def test_one_process_remembers_across_its_restarts_what_ran(
    repository: Path, start: Start, deadly: dict[str, str], tmp_path: Path
) -> None:
    environment = deadly | {"DEADLY_SIGNAL": str(int(signal.SIGKILL))}
    folder = tmp_path / "state"
    for _ in range(2):
        server = start(repository, f"--state-folder={folder}", environment=environment)
        assert not (folder / "quarantine").exists()
        with pytest.raises(httpx.TransportError):
            server.post("/predict", POISON)
        assert server.process.wait(PATIENCE) == -signal.SIGKILL
    start(repository, f"--state-folder={folder}", environment=environment, until="/health/live")
    reason = "ran when the server ended unexpectedly"
    assert (folder / "quarantine").read_text() == f"flowers/10 {reason}\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_state_folder_belongs_to_one_server(
    repository: Path, start: Start, tmp_path: Path, workers: int
) -> None:
    options = (f"--state-folder={tmp_path}", f"--workers={workers}")
    first = start(repository, *options)
    with pytest.raises(AssertionError, match="another server uses it"):
        start(repository, *options)
    assert first.post("/predict", ROW).status_code == 200
    assert first.stop() == 0
    assert start(repository, *options).post("/predict", ROW).status_code == 200


def test_workers_that_cannot_start_end_the_server(
    repository: Path, tmp_path: Path, start: Start
) -> None:
    broken = customized(tmp_path, "import sys; sys.modules['inference_server.app'] = None")
    with pytest.raises(AssertionError, match="giving up"):
        start(repository, "--workers=2", environment=broken)


def test_workers_end_when_their_supervisor_is_killed(
    repository: Path, start: Start, tmp_path: Path
) -> None:
    server = start(repository, "--workers=2", environment={"TMPDIR": str(tmp_path)})
    workers = workers_of(server)
    server.client.close()
    server.process.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_worker_inherits_no_connection_that_waits_to_be_dealt_out(tmp_path: Path) -> None:
    # or its client would not see the end of it while that worker lives
    board = Board(None, 1)
    settings = Settings(model_repository=tmp_path)
    counts = Store([EXITS])
    ours, theirs = socket.socketpair()

    def work(_: Place, channel: socket.socket) -> None:
        held = supervisor._held
        channel.send(b"inherited" if held is None or held.fileno() >= 0 else b"closed")

    supervisor = Supervisor(settings, socket.socket(), board, Quarantine(tmp_path), counts, work)
    supervisor._held, client = socket.socketpair()
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=supervisor._be_worker, args=(board.places[0], theirs))
    worker.start()
    with ours, theirs, client, supervisor._held:
        ours.settimeout(PATIENCE)
        assert ours.recv(16) == b"closed"
        worker.join(PATIENCE)


def test_several_workers_stop_with_status_zero(repository: Path, start: Start) -> None:
    server = start(repository, "--workers=2")
    workers = workers_of(server)
    assert server.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert reasons(server) == []


def test_a_worker_that_is_told_to_stop_alone_is_replaced(repository: Path, start: Start) -> None:
    server = start(repository, "--workers=2")
    worker = workers_of(server)[0]
    os.kill(worker, signal.SIGTERM)
    wait_until(lambda: worker not in workers_of(server) and len(workers_of(server)) == 2)
    wait_until(lambda: reasons(server) == ["exit status 0"])
