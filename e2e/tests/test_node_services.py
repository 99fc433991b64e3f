"""A Service sends connections to ready pods of its selector, in turn, and to nobody else."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from local_cluster.kernel import processes
from node_runner.machine import AddressesExhaustedError, AddressPool, address_of, pod_ip
from node_runner.services import Backend, Services, endpoints, listening_port, selects

NETWORK = "127.199"
# A proxy that has yet to start may take this many hundredths of a second.
STARTS = 500


def service(**selector: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "inference", "namespace": "staging", "uid": "u"},
        "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 9000}]},
    }


def backend(address: str, ready: bool = True, **labels: str) -> Backend:
    return Backend("staging", labels, ready, lambda port: (address, int(port)))


def test_a_service_selects_ready_pods_of_its_namespace_with_all_its_labels() -> None:
    chosen = service(app="a", hash="1")
    assert selects(chosen, backend("x", app="a", hash="1", more="m"))
    assert not selects(chosen, backend("x", app="a", hash="2"))
    assert not selects(chosen, backend("x", app="a"))
    assert not selects(chosen, backend("x", ready=False, app="a", hash="1"))
    assert not selects(
        chosen, Backend("production", {"app": "a", "hash": "1"}, True, lambda _: None)
    )
    assert not selects(service(), backend("x", app="a"))


def test_the_target_port_is_the_pods() -> None:
    chosen = service(app="a")
    port = chosen["spec"]["ports"][0]
    assert endpoints(chosen, port, [backend("h", app="a")]) == [("h", 9000)]
    assert endpoints(chosen, {"port": 80}, [backend("h", app="a")]) == [("h", 80)]


def test_a_port_that_only_root_may_listen_on_stands_ten_thousand_higher() -> None:
    assert [listening_port(port) for port in (80, 443, 1024, 8080)] == [10080, 10443, 1024, 8080]


def test_an_address_comes_again_only_after_all_others() -> None:
    pool = AddressPool(NETWORK, 1, 1)
    first = pool.take()
    pool.give_back(first)
    others = [pool.take() for _ in range(253)]
    assert first not in others
    assert len(set(others)) == 253
    assert pool.take() == first
    with pytest.raises(AddressesExhaustedError):
        pool.take()


def test_a_pod_gets_its_address_back_if_it_is_free_and_of_this_network() -> None:
    pool = AddressPool(NETWORK, 1, 2)
    assert pool.take(f"{NETWORK}.2.7") == f"{NETWORK}.2.7"
    assert pool.take(f"{NETWORK}.2.7") == f"{NETWORK}.1.1"
    assert pool.take("127.0.0.1") == f"{NETWORK}.1.2"
    assert pool.take(address_of("")) == f"{NETWORK}.1.3"


def test_the_address_in_the_status_is_no_loopback_and_leads_back() -> None:
    assert pod_ip("127.40.1.2") == "10.40.1.2"
    assert address_of(pod_ip("127.40.1.2")) == "127.40.1.2"


@contextlib.asynccontextmanager
async def pod(address: str) -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{address} heard ".encode() + await reader.read())
        writer.close()

    async with await asyncio.start_server(answer, address, 9000):
        yield


@contextlib.asynccontextmanager
async def running(services: Services) -> AsyncIterator[None]:
    task = asyncio.create_task(services.keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(services: Services) -> str:
    host, _, port = services.addresses()["inference.staging", 80].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"hello")
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def becomes(services: Services, expected: set[str], tries: int = 100) -> bool:
    """Whether four answers in a row are these within a second: the proxy is told of changes."""
    answers: set[str] = set()
    for _ in range(tries):
        with contextlib.suppress(ConnectionError):
            answers = {await ask(services) for _ in range(4)}
        if answers == expected:
            return True
        await asyncio.sleep(0.01)
    return False


async def refused(services: Services) -> bool:
    """Whether connections are refused within a second; one that is on its way may be reset."""
    for _ in range(100):
        try:
            await ask(services)
        except ConnectionRefusedError:
            return True
        except ConnectionError:
            pass
        await asyncio.sleep(0.01)
    return False


def test_connections_go_to_the_pods_in_turn_and_are_refused_without_one() -> None:
    first, second = f"{NETWORK}.1.1", f"{NETWORK}.1.2"
    pods = [backend(first, app="a"), backend(second, app="a")]
    services = Services(AddressPool(NETWORK, 240, 240), lambda: pods)

    async def scenario() -> None:
        async with pod(first), pod(second), running(services):
            services.apply(service(app="a"), False)
            assert await becomes(
                services, {f"{first} heard hello", f"{second} heard hello"}, STARTS
            )
            pods.pop()
            services.changed()
            assert await becomes(services, {f"{first} heard hello"})
            pods.clear()
            services.changed()
            assert await refused(services)

    asyncio.run(scenario())


def test_a_service_follows_its_selector_at_once() -> None:
    first, second = f"{NETWORK}.1.3", f"{NETWORK}.1.4"
    pods = [backend(first, hash="1"), backend(second, hash="2")]
    services = Services(AddressPool(NETWORK, 241, 241), lambda: pods)

    async def scenario() -> None:
        async with pod(first), pod(second), running(services):
            services.apply(service(hash="1"), False)
            assert await becomes(services, {f"{first} heard hello"}, STARTS)
            services.apply(service(hash="2"), False)
            assert await becomes(services, {f"{second} heard hello"})

    asyncio.run(scenario())


def child() -> int:
    """The proxy that this program has started."""
    found = [
        each.pid
        for each in processes()
        if each.parent == os.getpid()
        and b"node_runner.proxy" in Path(f"/proc/{each.pid}/cmdline").read_bytes()
    ]
    (pid,) = found
    return pid


def test_a_proxy_that_was_killed_is_started_again() -> None:
    address = f"{NETWORK}.1.5"
    services = Services(AddressPool(NETWORK, 242, 242), lambda: [backend(address, app="a")])

    async def scenario() -> None:
        async with pod(address), running(services):
            services.apply(service(app="a"), False)
            assert await becomes(services, {f"{address} heard hello"}, STARTS)
            os.kill(child(), signal.SIGKILL)
            assert await refused(services)
            assert await becomes(services, {f"{address} heard hello"}, STARTS)

    asyncio.run(scenario())


def test_the_proxy_ends_with_the_runner() -> None:
    services = Services(AddressPool(NETWORK, 243, 243), list)

    async def scenario() -> Path:
        async with running(services):
            await asyncio.sleep(0.1)
            return Path(f"/proc/{child()}")

    assert not asyncio.run(scenario()).exists()
