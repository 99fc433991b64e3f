"""HTTP as no library would send it: a right answer, a 4xx, or the end of the connection.

Each request carries numbers of its own to a model that answers them as they came, so an answer to
somebody else's request, or to a half of one, is seen.
"""

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Server, Start
from .fuzzing import assert_unharmed, cases, descriptors
from .onnx_models import FLOAT, echo
from .wire import Talk, parse, talk

INFER = b"/v2/models/fp32/infer"
AT_ONCE = 150
SILENCE = 0.3  # seconds after which nobody answers what is no whole request
REFUSALS = {400, 401, 403, 404, 405, 406, 408, 411, 413, 414, 415, 417, 429, 431}
Made = tuple[list[bytes], int]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    folder = tmp_path_factory.mktemp("repository")
    echo(folder / "fp32" / "1" / "model.onnx", FLOAT)
    return start_anywhere(folder, "--max-body-bytes=65536", "--log-sample-rate=0")


class Numbers:
    """Requests that echo numbers nobody else has."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sent: list[list[float]] = []

    def body(self) -> bytes:
        values = [float(self.rng.randrange(2**24)) for _ in range(self.rng.choice([1, 2, 5]))]
        self.sent.append(values)
        tensor = {"name": "x", "shape": [len(values)], "datatype": "FP32", "data": values}
        return json.dumps({"inputs": [tensor]}).encode()

    def head(self, *more: bytes, target: bytes = INFER, method: bytes = b"POST") -> bytes:
        lines = [method + b" " + target + b" HTTP/1.1", b"Host: localhost", *more]
        return b"\r\n".join([*lines, b"\r\n"])

    def post(self, *more: bytes, target: bytes = INFER) -> bytes:
        body = self.body()
        length = b"Content-Length: %d" % len(body)
        return self.head(b"Content-Type: application/json", length, *more, target=target) + body


def pieces(rng: random.Random, content: bytes, count: int) -> list[bytes]:
    """The bytes in up to `count` pieces."""
    cuts = sorted(rng.randrange(len(content) + 1) for _ in range(count - 1))
    ends = [0, *cuts, len(content)]
    return [part for a, b in itertools.pairwise(ends) if (part := content[a:b])]


def in_pieces(made: Numbers) -> Made:
    return pieces(made.rng, made.post(), made.rng.choice([2, 3, 30])), 1


def pipelined(made: Numbers) -> Made:
    count = made.rng.choice([2, 3, 12])
    content = b"".join(
        made.head(method=b"GET", target=b"/v2/health/live")
        if made.rng.random() < 0.2
        else made.post()
        for _ in range(count)
    )
    return pieces(made.rng, content, made.rng.choice([1, 1, 4])), count


def chunked(made: Numbers) -> Made:
    rng, body = made.rng, made.body()
    parts = pieces(rng, body, rng.choice([1, 2, 5]))
    extension = rng.choice([b"", b"", b";a=b", b';a="b"', b";" + b"x" * 300])
    content = b"".join(
        b"%s%s\r\n%s\r\n" % (rng.choice([b"%x", b"%X", b"00%x"]) % len(part), extension, part)
        for part in parts
    )
    trailer = rng.choice([b"", b"", b"X-After: 1\r\n"])
    head = made.head(b"Content-Type: application/json", b"Transfer-Encoding: chunked")
    return pieces(rng, head + content + b"0\r\n" + trailer + b"\r\n", rng.choice([1, 3])), 1


def wrong_chunks(made: Numbers) -> Made:
    rng, body = made.rng, made.body()
    size = rng.choice(
        [b"-1", b"+5", b"0x5", b"", b"g", b" 5", b"5 ", b"F" * 16, b"F" * 40, b"5\n", b"1;\x00"]
    )
    coding = rng.choice(
        [b"chunked", b"chunked", b"Chunked", b"xchunked", b"chunked, chunked", b"gzip, chunked",
         b"chunked, identity", b"identity", b"\tchunked", b"chunked\x0b"]
    )  # fmt: skip
    end = rng.choice([b"\r\n", b"\n", b"", b"\r", b"xx"])
    chunk = size + b"\r\n" + body if rng.random() < 0.6 else b"%x\r\n%s" % (len(body), body)
    head = made.head(b"Content-Type: application/json", b"Transfer-Encoding: " + coding)
    return [head + chunk + end + b"0\r\n\r\n"], 1


def two_lengths(made: Numbers) -> Made:
    """The ways to smuggle: what follows the body by one reading is a request by the other."""
    rng, body = made.rng, made.body()
    hidden = made.post()
    right = b"Content-Length: %d" % len(body)
    more = rng.choice(
        [
            [right, b"Content-Length: 5"],
            [b"Content-Length: 5", right],
            [right, right],
            [right, b"Transfer-Encoding: chunked"],
            [b"Transfer-Encoding: chunked", right],
            [right, b"Transfer-Encoding : chunked"],
            [right, b" Transfer-Encoding: chunked"],
            [right, b"Transfer_Encoding: chunked"],
            [right, b"X: y\nTransfer-Encoding: chunked"],
            [right, b"Transfer-Encoding:\x0bchunked"],
            [b"Content-Length: %d, %d" % (len(body), len(body))],
            [b"Content-Length: +%d" % len(body)],
            [b"Content-Length: %d " % len(body)],
            [b"Content-Length: 0%d" % len(body)],
            [b"Content-Length: 0x%x" % len(body)],
            [b"Content-Length: %d\x00" % len(body)],
            [b"Content-Length: -1"],
            [b"Content-Length: " + b"9" * 30],
            [b"Content-Length: %d" % (2**64 + len(body))],
            [b"Content-Length:"],
            [b"Content-Length: 1e2"],
            [b"Content-Length : %d" % len(body)],
        ]
    )
    return [made.head(b"Content-Type: application/json", *more) + body + hidden], 2


def odd_line(made: Numbers) -> Made:
    rng, body = made.rng, made.body()
    line = rng.choice(
        [
            b"POST  /v2/models/fp32/infer HTTP/1.1",
            b"POST /v2/models/fp32/infer",
            b"POST /v2/models/fp32/infer HTTP/0.9",
            b"POST /v2/models/fp32/infer HTTP/1.0",
            b"POST /v2/models/fp32/infer HTTP/2.0",
            b"POST /v2/models/fp32/infer HTTP/9.9",
            b"POST /v2/models/fp32/infer HTTP/1.10",
            b"POST /v2/models/fp32/infer http/1.1",
            b"POST /v2/models/fp32/infer HTTP/1.1 x",
            b"post /v2/models/fp32/infer HTTP/1.1",
            b"PO\x00ST /v2/models/fp32/infer HTTP/1.1",
            b"BREW /v2/models/fp32/infer HTTP/1.1",
            b"PRI * HTTP/2.0",
            b"CONNECT localhost:80 HTTP/1.1",
            b"CONNECT /v2/models/fp32/infer HTTP/1.1",
            b"TRACE /v2 HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"OPTIONS /v2/models/fp32/infer HTTP/1.1",
            b"PUT /v2/models/fp32/infer HTTP/1.1",
            b"DELETE /v2/models/fp32 HTTP/1.1",
            b"HTTP/1.1 200 OK",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\r\n\r\n\r\nPOST /v2/models/fp32/infer HTTP/1.1",
            b"\x00",
            b"",
            b" ",
            b"A" * 70_000,
        ]
    )
    fields = b"\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return [line + fields % len(body) + body], 1


def odd_target(made: Numbers) -> Made:
    target = made.rng.choice(
        [
            b"http://localhost/v2/models/fp32/infer",
            b"http://other.example:99999/v2/models/fp32/infer",
            b"https://u:p@localhost/v2/models/fp32/infer?x=y#z",
            b"//v2/models/fp32/infer",
            b"/v2//models/fp32/infer",
            b"/v2/models/fp32/infer/",
            b"/v2/models/../models/fp32/infer",
            b"/v2/models/%66p32/infer",
            b"/v2/models/%2566p32/infer",
            b"/v2/models/fp32%2finfer",
            b"/v2/models/fp32%00/infer",
            b"/v2/models/fp32%/infer",
            b"/v2/models/fp32%zz/infer",
            b"/v2/models/%c0%af/infer",
            b"/v2/models/%ff%fe/infer",
            b"/v2/models/\xc3\xbc/infer",
            b"/v2/models/%0d%0aX-Injected:%201/infer",
            b"/v2/models/" + b"a" * 3000 + b"/infer",
            b"/v2/models//infer",
            b"/v2/models/fp32/versions//infer",
            b"/v2/models/fp32/versions/1/infer",
            b"/v2/models/fp32/versions/01/infer",
            b"/v2/models/fp32/versions/%31/infer",
            b"/v2/models/fp32/versions/" + b"9" * 400 + b"/infer",
            b"/v2/models/fp32/infer?" + b"a=b&" * 3000,
            b"/v2/models/fp32/infer?%",
            b"/v2/models/fp32/infer#fragment",
            b"/V2/models/fp32/infer",
            b"v2/models/fp32/infer",
            b"*",
            b"?",
            b"/predict?model=fp32&model=nope",
            b"/predict?model=%ff",
            b"/predict?version=x&model=fp32",
            b"/v1/models/fp32:predict",
            b"/v1/models/fp32%3Apredict",
            b"/v1/models/:predict",
        ]
    )
    return [made.post(target=target)], 1


def odd_headers(made: Numbers) -> Made:
    field = made.rng.choice(
        [
            b"X-Request-ID: a\r\nX-Injected: 1",
            b"X-Request-ID: a\nX-Injected: 1",
            b"X-Request-ID: a\rX-Injected: 1",
            b"X-Request-ID: \xff\xfe",
            b"X-Request-ID: " + b"a" * 5000,
            b"X-Request-ID: a\x00b",
            b": empty",
            b"No-Colon",
            b"Sp ace: 1",
            b"X\x00Y: 1",
            b"\xff: 1",
            b"Folded: a\r\n b",
            b" Leading: 1",
            b"X-Big: " + b"b" * 100_000,
            b"\r\n".join(b"X-%d: y" % number for number in range(1500)),
            b"Host: another",
            b"Connection: close",
            b"Connection: keep-alive, Upgrade\r\nUpgrade: h2c",
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
            b"\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==",
            b"Connection: \xff",
            b"Upgrade: nonsense",
            b"Expect: 100-continue",
            b"Expect: nonsense",
            b"Expect: 100-Continue, x",
            b"X-Request-Timeout-Ms: -1",
            b"X-Request-Timeout-Ms: " + b"9" * 50,
            b"X-Request-Timeout-Ms: 1e3",
            b"X-Request-Timeout-Ms: \xb2",
            b"traceparent: 00-" + b"z" * 32 + b"-0-00",
            b"traceparent: 00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
            b"traceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
            b"tracestate: " + b"=" * 600,
            b"Authorization: Bearer " + b"." * 4000,
            b"Authorization: \xff",
            b"Content-Encoding: gzip",
            b"Content-Encoding: \xff",
            b"Content-Type: \xff",
            b"Accept: nothing/else",
            b"Accept-Encoding: gzip;q=nonsense",
            b"Inference-Header-Content-Length: \xb2",
            b"Transfer-Encoding: ",
            b"Te: trailers",
            b"Content-Length: 0",
            b"Cookie: " + b"a=b; " * 2000,
        ]
    )
    return [made.post(field)], 1


def expecting(made: Numbers) -> Made:
    """The body is sent after the head, as a client that waits for 100 would."""
    body = made.body()
    head = made.head(
        b"Content-Type: application/json", b"Content-Length: %d" % len(body),
        b"Expect: 100-continue",
    )  # fmt: skip
    return [head, body], 1


def asked_otherwise(made: Numbers) -> Made:
    method = made.rng.choice([b"GET", b"OPTIONS", b"PUT", b"DELETE", b"PATCH"])
    target = made.rng.choice([INFER, b"/v2", b"/metrics", b"/health", b"/", b"/docs", b"/info"])
    return [made.head(method=method, target=target)], 1


def left_early(made: Numbers) -> Made:
    content = made.post()
    return [content[: made.rng.randrange(len(content))]], 1


def bare_line_ends(made: Numbers) -> Made:
    content = made.post()
    head, _, body = content.partition(b"\r\n\r\n")
    end = made.rng.choice([b"\n", b"\r", b"\n\r", b"\r\r\n"])
    return [head.replace(b"\r\n", end) + end * 2 + body], 1


def flipped(made: Numbers) -> Made:
    content = bytearray(made.post())
    for _ in range(made.rng.choice([1, 1, 2, 5])):
        at = made.rng.randrange(content.index(b"\r\n\r\n") + 4)
        change = made.rng.randrange(3)
        if change == 0:
            content[at] = made.rng.randrange(256)
        elif change == 1:
            content.insert(at, made.rng.choice(b"\r\n :\x00\t/%,;"))
        else:
            del content[at]
        if b"\r\n\r\n" not in content:
            break
    return [bytes(content)], 1


def too_large(made: Numbers) -> Made:
    size = made.rng.choice([65_537, 70_000, 200_000])
    head = made.head(b"Content-Type: application/json", b"Content-Length: %d" % size)
    return [head, b" " * made.rng.choice([0, 100, size])], 1


KINDS: list[Callable[[Numbers], Made]] = [
    in_pieces, pipelined, chunked, wrong_chunks, two_lengths, odd_line, odd_target, odd_headers,
    expecting, asked_otherwise, left_early, bare_line_ends, flipped, flipped, too_large,
]  # fmt: skip
MUST_ANSWER = {"in_pieces", "pipelined", "chunked", "expecting"}


class Case:
    """One connection's bytes and what became of them."""

    def __init__(self, port: int, name: str, rng: random.Random) -> None:
        self.name = name
        self.made = Numbers(rng)
        kind = rng.choice(KINDS)
        self.kind = kind.__name__
        parts, self.count = kind(self.made)
        patience = 20 if self.kind in MUST_ANSWER else SILENCE
        self.talk = Talk(port, parts, self.count, patience)

    def judge(self) -> None:
        replies, rest = parse(self.talk.received)
        assert rest == b"", f"half an answer: {rest!r}"
        assert len(replies) <= max(self.count, 2), "more answers than requests"
        answered = []
        for reply in replies:
            assert reply.status < 500, reply
            assert reply.status in REFUSALS | {200, 204}, reply
            assert reply.header(b"x-injected") is None
            if b'"outputs"' in reply.body:
                answered.append(json.loads(reply.body)["outputs"][0]["data"])
        sent = [each for each in self.made.sent if each in answered]
        assert answered == sent, f"answered {answered}, sent {self.made.sent}"
        if self.kind in MUST_ANSWER:
            statuses = [reply.status for reply in replies]
            assert statuses == [200] * self.count, statuses


def judge_all(batch: list[Case]) -> None:
    talk([case.talk for case in batch])
    for case in batch:
        try:
            case.judge()
        except AssertionError as error:
            sent = case.talk.sent
            shown = sent if len(sent) < 1500 else sent[:700] + b" ... " + sent[-700:]
            story = f"{case.name}: {case.kind}\n{shown!r}\n{case.talk.received[:900]!r}\n{error}"
            raise AssertionError(story) from error


def test_whatever_is_sent_the_answer_is_right_or_a_refusal(target: Server) -> None:
    port = target.client.base_url.port
    before = descriptors(target)
    batch: list[Case] = []
    for name, rng in cases(1200, "http"):
        batch.append(Case(port, name, rng))
        if len(batch) == AT_ONCE:
            judge_all(batch)
            batch = []
            assert target.get("/v2/health/live").status_code == 200
    judge_all(batch)
    assert_unharmed(target, before)


def test_a_client_of_single_bytes_is_answered(target: Server) -> None:
    made = Numbers(random.Random(1))
    connection = Talk(target.client.base_url.port, [bytes([byte]) for byte in made.post()])
    talk([connection])
    replies, _ = parse(connection.received)
    assert [json.loads(reply.body)["outputs"][0]["data"] for reply in replies] == made.sent


def test_head_has_no_body(target: Server) -> None:
    connection = Talk(
        target.client.base_url.port, [b"HEAD /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]
    )
    talk([connection])
    replies, rest = parse(connection.received, [b"HEAD"])
    assert rest == b""
    assert [reply.status for reply in replies] in ([200], [405])


def test_no_request_left_a_server_error_in_the_log(target: Server) -> None:
    log = Path(target.log_file).read_text()
    assert "Traceback" not in log
    assert '"level":"error"' not in log
