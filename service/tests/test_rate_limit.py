"""Rate limits: a token bucket for each client, in one process or shared through Redis."""

import asyncio
import hashlib
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_server.errors import RequestError
from inference_server.security import rate_limit, shared_limit
from inference_server.security.client import Rate
from inference_server.security.guard import Guard
from inference_server.security.rate_limit import LocalLimiter
from inference_server.security.shared_limit import SharedLimiter
from inference_server.settings import Settings
from redis import Redis

from .conftest import Server, Start, free_port, wait_until

KEY = b"a long random key"
HASH = hashlib.sha256(KEY).hexdigest()
OTHER = b"another long random key"
OTHER_HASH = hashlib.sha256(OTHER).hexdigest()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


gaps = st.lists(st.floats(0, 90, allow_nan=False), min_size=1, max_size=200)
rates = st.builds(Rate, st.integers(1, 6000), st.integers(1, 50))


@given(gaps, rates, st.integers(1, 8))
def test_never_more_than_the_burst_and_what_has_flown_in(
    gaps: list[float], rate: Rate, workers: int
) -> None:
    clock = Clock()
    limiter = LocalLimiter(workers, clock)
    admitted: list[float] = []
    for gap in gaps:
        clock.now += gap
        if not limiter.take("client", rate):
            admitted.append(clock.now)
    burst = max(1.0, rate.burst / workers)
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            flown = (admitted[last] - start) * rate.per_minute / 60 / workers
            assert last - first + 1 <= burst + flown + 0.01


@given(rates, st.integers(1, 4))
def test_who_waits_as_told_is_admitted_and_who_comes_sooner_is_not(
    rate: Rate, workers: int
) -> None:
    clock = Clock()
    limiter = LocalLimiter(workers, clock)
    while not (wait := limiter.take("client", rate)):
        pass
    clock.now += wait * 0.99
    assert limiter.take("client", rate) > 0
    clock.now += wait * 0.01
    assert limiter.take("client", rate) == 0


@given(st.lists(st.sampled_from("abc"), max_size=100))
def test_what_one_client_does_costs_another_nothing(clients: list[str]) -> None:
    limiter = LocalLimiter(clock=Clock())
    rate = Rate(60, 5)
    admitted = dict.fromkeys("abc", 0)
    for client in clients:
        admitted[client] += limiter.take(client, rate) == 0
    assert admitted == {client: min(5, clients.count(client)) for client in "abc"}


def test_of_too_many_clients_the_one_that_asked_longest_ago_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limit, "MAX_CLIENTS", 2)
    limiter = LocalLimiter(clock=Clock())
    assert [limiter.take(client, Rate(1, 1)) == 0 for client in "abbacb"] == [
        *(True, True, False, False, True, False),
    ]
    assert limiter.take("a", Rate(1, 1)) == 0


def guard(tmp_path: Path, keys: str | None = None, **more: object) -> Guard:
    if keys is not None:
        (tmp_path / "keys").write_text(keys)
        more["api_key_hashes_file"] = tmp_path / "keys"
    return Guard(Settings(model_repository=tmp_path, **more))  # type: ignore[arg-type]


def test_a_client_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    limited = guard(tmp_path, f"team-a:{HASH}\n", rate_limit=30, rate_limit_burst=2)
    headers = {b"x-api-key": KEY}
    limited.admit(headers, "infer", "m")
    limited.admit(headers, "metadata", None)
    with pytest.raises(RequestError) as caught:
        limited.admit(headers, "infer", "m")
    assert caught.value.status == 429
    assert caught.value.headers == {
        "Retry-After": "2",
        "RateLimit-Policy": '"default";q=2;w=4',
        "RateLimit": '"default";r=0;t=2',
    }


def test_the_burst_is_a_minute_s_requests_unless_set(tmp_path: Path) -> None:
    limited = guard(tmp_path, rate_limit=7)
    for _ in range(7):
        limited.admit({}, "infer", "m")
    with pytest.raises(RequestError, match="too many requests"):
        limited.admit({}, "infer", "m")


def test_without_a_rate_limit_nobody_is_counted(tmp_path: Path) -> None:
    unlimited = guard(tmp_path)
    for _ in range(1000):
        assert unlimited.admit({}, "infer", "m") is None


def test_a_client_may_have_a_rate_of_its_own_or_none(tmp_path: Path) -> None:
    keys = f"slow:{HASH}:rate=60:burst=1\nfree:{OTHER_HASH}:rate=off\n"
    limited = guard(tmp_path, keys, rate_limit=600)
    limited.admit({b"x-api-key": KEY}, "infer", "m")
    with pytest.raises(RequestError, match="too many requests"):
        limited.admit({b"x-api-key": KEY}, "infer", "m")
    for _ in range(700):
        limited.admit({b"x-api-key": OTHER}, "infer", "m")


def test_a_refused_credential_or_scope_takes_no_token(tmp_path: Path) -> None:
    limited = guard(tmp_path, f"team-a:{HASH}\n", rate_limit=60, rate_limit_burst=1)
    for headers, scope in (({b"x-api-key": b"wrong"}, "infer"), ({b"x-api-key": KEY}, "admin")):
        with pytest.raises(RequestError, match=r"no valid API key|scope admin"):
            limited.admit(headers, scope, None)
    limited.admit({b"x-api-key": KEY}, "infer", "m")


def test_scrapes_are_not_counted(tmp_path: Path) -> None:
    limited = guard(
        tmp_path, f"p:{HASH}:scopes=metrics\n", rate_limit=60, rate_limit_burst=1, metrics_auth=True
    )
    for _ in range(5):
        limited.admit({b"x-api-key": KEY}, "metrics", None)


# Shared through Redis

BINARY = shutil.which("valkey-server") or shutil.which("redis-server")
needs_redis = pytest.mark.skipif(BINARY is None, reason="neither valkey-server nor redis-server")


class RealRedis:
    """A Redis or Valkey process that the tests may stop and start again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        self._process = subprocess.Popen(
            [str(BINARY), *options, str(self._folder)], stdout=subprocess.DEVNULL
        )
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            with Redis(port=self.port) as client:
                return bool(client.ping())
        except OSError:
            return False
        except Exception as error:
            if "onnect" in str(error):
                return False
            raise

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RealRedis]:
    server = RealRedis(tmp_path)
    server.start()
    yield server
    server.stop()


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def run(limiters: list[SharedLimiter], scenario: Callable[[], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        for limiter in limiters:
            await limiter.start()
        try:
            await scenario()
        finally:
            for limiter in limiters:
                await limiter.stop()

    asyncio.run(all_of_it())


def shared(server: RealRedis, processes: int = 1, away: str = "allow") -> list[SharedLimiter]:
    return [
        SharedLimiter(server.url, away, LocalLimiter(processes))  # type: ignore[arg-type]
        for _ in range(processes)
    ]


@needs_redis
def test_all_processes_together_stay_within_the_documented_bound(redis: RealRedis) -> None:
    rate, processes, seconds = Rate(1200, 100), 4, 2.0
    limiters = shared(redis, processes)
    admitted = [0] * processes

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            for each, limiter in enumerate(limiters):
                admitted[each] += limiter.take("client", rate) == 0
            await asyncio.sleep(0.001)

    run(limiters, scenario)
    flown_in = rate.per_minute / 60 * seconds
    share = rate.burst / 10
    assert sum(admitted) <= rate.burst + flown_in + processes * 2 * share + 1
    assert sum(admitted) >= (rate.burst + flown_in) * 0.8
    assert min(admitted) >= sum(admitted) / processes / 5  # no process starves


@needs_redis
def test_a_debt_is_charged_to_the_bucket_of_all(redis: RealRedis) -> None:
    rate = Rate(1, 10)  # nothing flows in while the test runs
    limiters = shared(redis, 3)
    admitted = 0

    async def scenario() -> None:
        nonlocal admitted
        for _ in range(200):
            for limiter in limiters:
                admitted += limiter.take("client", rate) == 0
            await asyncio.sleep(0.005)
        assert all(limiter.take("client", rate) > 1 for limiter in limiters)

    run(limiters, scenario)
    assert 10 <= admitted <= 10 + 3 * 2


@needs_redis
def test_while_redis_has_not_answered_no_more_than_a_tenth_of_the_burst_is_admitted(
    redis: RealRedis,
) -> None:
    limiters = shared(redis)
    at_once: list[bool] = []

    async def scenario() -> None:
        at_once.extend(limiters[0].take("client", Rate(60, 95)) == 0 for _ in range(1000))

    run(limiters, scenario)
    assert sum(at_once) == 10


@needs_redis
def test_one_client_s_requests_cost_another_nothing(redis: RealRedis) -> None:
    limiters = shared(redis)
    rate = Rate(1, 10)
    admitted = {"greedy": 0, "modest": 0}

    async def scenario() -> None:
        def served() -> bool:
            admitted["greedy"] += limiters[0].take("greedy", rate) == 0
            return limiters[0].take("modest", rate) == 0

        for _ in range(10):
            await until(served)
            admitted["modest"] += 1

    run(limiters, scenario)
    assert admitted["modest"] == 10
    assert admitted["greedy"] <= 12


@needs_redis
def test_who_went_quiet_here_finds_its_tokens_elsewhere(
    redis: RealRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limit, "_IDLE_SECONDS", 0.05)
    first, second = limiters = shared(redis, 2)
    rate = Rate(1, 40)

    def left() -> float:
        with Redis(port=redis.port, decode_responses=True) as client:
            return sum(float(client.hget(key, "tokens")) for key in client.scan_iter())  # type: ignore[arg-type]

    async def scenario() -> None:
        assert first.take("client", rate) == 0
        await until(lambda: 38.9 <= left() <= 39.5)  # 40 less the one spent: nothing stays leased
        for _ in range(39):
            await until(lambda: second.take("client", rate) == 0)

    run(limiters, scenario)


@needs_redis
def test_no_client_s_name_stands_in_redis(redis: RealRedis) -> None:
    limiters = shared(redis)

    def keys() -> list[str]:
        with Redis(port=redis.port, decode_responses=True) as client:
            return client.keys()  # type: ignore[return-value]

    async def scenario() -> None:
        limiters[0].take("jwt:jane.doe@example.org", Rate(60, 60))
        await until(lambda: bool(keys()))

    run(limiters, scenario)
    assert keys()
    assert not any("jane" in key for key in keys())
    with Redis(port=redis.port) as client:
        assert all(client.ttl(key) > 0 for key in keys())  # type: ignore[operator]


@needs_redis
def test_while_redis_is_away_each_server_counts_for_itself_and_shares_again_afterwards(
    redis: RealRedis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limit, "_RETRY_SECONDS", 0.05)
    caplog.set_level("INFO")
    redis.stop()
    limiters = shared(redis)
    rate = Rate(1, 5)

    async def scenario() -> None:
        assert [limiters[0].take("client", rate) == 0 for _ in range(8)] == [True] * 5 + [False] * 3
        await asyncio.to_thread(redis.start)
        await until(lambda: "rate limits shared again" in caplog.messages)
        assert limiters[0].take("client", rate) == 0

    run(limiters, scenario)
    assert caplog.messages.count("rate limits not shared") == 1


@needs_redis
def test_a_redis_that_goes_away_in_between_is_noticed(redis: RealRedis) -> None:
    limiters = shared(redis, away="refuse")
    rate = Rate(600, 10)
    refused: list[RequestError] = []

    def ask() -> bool:
        try:
            limiters[0].take("client", rate)
        except RequestError as error:
            refused.append(error)
        return bool(refused)

    async def scenario() -> None:
        assert limiters[0].take("client", rate) == 0
        await asyncio.to_thread(redis.stop)
        await until(ask)

    run(limiters, scenario)
    assert refused[0].status == 503
    assert refused[0].headers == {"Retry-After": "1"}


def test_the_url_s_password_is_never_shown(tmp_path: Path) -> None:
    settings = Settings(
        model_repository=tmp_path, rate_limit_redis_url="redis://:secret-word@localhost:1"
    )
    assert "secret-word" not in repr(settings)
    assert "secret-word" not in settings.model_dump_json()


# Real servers

ROW = {"instances": [[1, 1, 1]]}


def admitted(server: Server, number: int, **more: Any) -> int:
    return sum(server.post("/predict", ROW, **more).status_code == 200 for _ in range(number))


def test_a_server_refuses_on_both_ways_and_keeps_answering_probes(
    repository: Path, start: Start
) -> None:
    server = start(repository, "--rate-limit=1", "--rate-limit-burst=3")
    assert admitted(server, 3) == 3
    fast = server.post("/predict", ROW)
    slow = server.client.post("/predict", content=iter([b"{}"]))
    for answer in (fast, slow, server.get("/info")):
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.headers["ratelimit-policy"] == '"default";q=3;w=180'
        assert answer.headers["ratelimit"].startswith('"default";r=0;t=')
        assert answer.json()["error"] == "too many requests"
    for path in ("/health", "/v2/health/ready", "/metrics"):
        assert server.get(path).status_code == 200


@needs_redis
def test_servers_share_a_client_s_rate_through_redis(
    redis: RealRedis, repository: Path, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"team:{HASH}\n")
    options = ("--rate-limit=1", "--rate-limit-burst=20", f"--rate-limit-redis-url={redis.url}")
    servers = [
        start(repository, *options, f"--api-key-hashes-file={tmp_path / 'keys'}") for _ in range(2)
    ]
    headers = {"X-API-Key": KEY.decode()}
    for _ in range(18):
        wait_until(lambda: admitted(servers[0], 1, headers=headers) == 1)
    rest = sum(admitted(server, 80, headers=headers) for server in servers)
    assert rest <= 2 + 2 * 2 * 2
