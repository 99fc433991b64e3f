"""What nobody foresaw: a bug of ours, and a process that is stopped in the middle."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from inference_server.app import create_app, make_state
from inference_server.inference.call import Answer, Call
from inference_server.protocol import v2
from inference_server.settings import Settings
from inference_server.transport.observer import Observer


async def broken(*_: Any) -> None:
    raise ZeroDivisionError("secret")


async def stuck(*_: Any) -> None:
    await asyncio.Event().wait()


def observer(repository: Path, app: Any) -> Observer:
    whole = create_app(Settings(model_repository=repository))
    assert isinstance(whole, Observer)
    return Observer(app, whole._state)


async def ask(app: Observer, sent: list[dict[str, Any]]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/v2", "headers": []}
    await app(scope, receive, send)


def samples(app: Observer, name: str) -> list[str]:
    text = app._state.metrics.render().decode()
    return [line for line in text.splitlines() if line.startswith(name)]


def test_a_bug_is_a_500_in_the_protocol_s_form_that_discloses_nothing(repository: Path) -> None:
    app, sent = observer(repository, broken), []  # type: tuple[Observer, list[dict[str, Any]]]
    asyncio.run(ask(app, sent))
    assert sent[0]["status"] == 500
    assert sent[1]["body"] == b'{"error":"internal error"}'
    (line,) = samples(app, 'http_requests_total{endpoint="metadata",method="GET",status="500"}')
    assert line.endswith(" 1.0")


def test_a_request_that_is_dropped_stays_started_and_never_finished(repository: Path) -> None:
    app = observer(repository, stuck)

    async def drop() -> None:
        task = asyncio.create_task(ask(app, []))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(drop())
    assert samples(app, 'http_requests_started_total{endpoint="metadata"}')[0].endswith(" 1.0")
    finished = samples(app, 'http_requests_total{endpoint="metadata"')
    assert finished
    assert all(line.endswith(" 0.0") for line in finished)
    assert samples(app, "http_requests_active") == ["http_requests_active 0.0"]


def test_a_bug_on_the_way_of_an_inference_is_a_500_that_discloses_nothing(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = make_state(Settings(model_repository=repository))
    monkeypatch.setattr(state.catalog, "find", broken_find)
    answers: list[Answer] = []
    path = "/v2/models/m/infer"
    call = Call("infer", path, v2.read, "m", None, {}, b"{}", lambda a: not answers.append(a))
    state.fast_lane.pipeline.answer(call)
    (answer,) = answers
    assert answer.status == 500
    assert answer.body == b'{"error":"internal error"}'
    assert 'http_requests_total{endpoint="infer",method="POST",status="500"} 1.0' in (
        state.metrics.render().decode()
    )


def broken_find(*_: Any) -> Any:
    raise ZeroDivisionError("secret")
