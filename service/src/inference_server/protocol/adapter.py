"""Inferences by way of Starlette, until the pipeline takes them all."""

from starlette.requests import Request
from starlette.responses import Response

from inference_server.errors import RequestError
from inference_server.inference.call import Call, Read
from inference_server.state import State


async def answer_request(
    request: Request, read: Read, name: str | None, version: str | None
) -> Response:
    """Read, run and write one inference."""
    state: State = request.app.state.server
    model = state.catalog.model(name, version) if name else state.catalog.only_model(version)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > state.settings.max_body_bytes:
            raise RequestError(
                413,
                f"the body is larger than {state.settings.max_body_bytes} bytes",
                {"Connection": "close"},
            )
    call = Call(
        "infer",
        request.url.path,
        read,
        name,
        version,
        dict(request.scope["headers"]),
        bytes(body),
        lambda _: True,
    )
    asked = read(call, model)
    answer = asked.write(await state.scheduler.run(model, asked.feeds))
    response = Response(answer.body, answer.status)
    response.raw_headers = [(b"content-length", b"%d" % len(answer.body)), *answer.headers]
    return response
