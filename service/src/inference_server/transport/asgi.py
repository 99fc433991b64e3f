"""Inferences that come by ASGI: the same pipeline, for requests that the fast lane leaves alone."""

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from inference_server.errors import CLIENT_CLOSED, RequestError
from inference_server.inference.call import Answer, Call
from inference_server.inference.routes import Route
from inference_server.state import State
from inference_server.transport.body import read_decoded


async def infer(request: Request) -> Response:
    """Answer one inference."""
    state: State = request.app.state.server
    route = state.fast_lane.routes.match(target(request.scope))
    if route is None:
        raise RequestError(404, "this path names no model")
    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    call = _call(request, route, answer)
    try:
        state.guard.check(call.headers, "infer", call.model)
        call.body = await read_decoded(request, state.fast_lane.body_limits)
    except RequestError as error:
        state.fast_lane.pipeline.refuse(call, error)
    except ClientDisconnect:
        state.fast_lane.pipeline.refuse(call, RequestError(CLIENT_CLOSED, "the client left"))
    else:
        state.fast_lane.pipeline.answer(call)
    status, headers, body = await answer
    response = Response(body, status)
    response.raw_headers = [
        (b"content-length", b"%d" % len(body)),
        *headers,
        (b"x-request-id", call.request_id),
    ]
    return response


def target(scope: Scope) -> bytes:
    """The request target as it stood in the request line."""
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    return path + b"?" + query if query else path


def _call(request: Request, route: Route, answer: "asyncio.Future[Answer]") -> Call:
    def reply(given: Answer) -> bool:
        if answer.cancelled():
            return False
        answer.set_result(given)
        return True

    return route.call(dict(request.scope["headers"]), b"", reply)
