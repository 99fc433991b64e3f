"""Whom a probe trusts on its way to a Gateway: the certificate it was given, for the host asked."""

import asyncio
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from inference_server.probe.client import Answer
from inference_server.probe.golden_set import Target
from inference_server.probe.outcome import MISUSE, ProbeError

from .certificates import certify

HOST = "inference.example.com"


@dataclass
class Gateway:
    """Where it listens, its certificate, and the host names that it was asked for."""

    url: str
    certificate: Path
    named: list[str | None] = field(default_factory=list)
    hosts: list[str | None] = field(default_factory=list)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    certificate = certify(tmp_path, HOST, "gateway", issuer="an authority that nobody knows")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            gateway.hosts.append(self.headers["Host"])
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A handshake that the client ends is what some tests are about."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with Server(("127.0.0.1", 0), Handler) as server:
        gateway = Gateway(f"https://127.0.0.1:{server.server_port}", certificate)
        context.sni_callback = lambda _, name, __: gateway.named.append(name)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield gateway
        server.shutdown()
        thread.join()


def get(gateway: Gateway, host: str | None, ca_file: Path | None) -> Answer:
    target = Target(gateway.url, "m", 1, None, patience=0, host=host, ca_file=ca_file)

    async def ask() -> Answer:
        async with target.address() as address:
            return await address.get("/")

    return asyncio.run(ask())


def test_the_certificate_that_was_given_is_enough_without_its_authority(gateway: Gateway) -> None:
    assert get(gateway, HOST, gateway.certificate).problem is None
    assert gateway.named == gateway.hosts == [HOST]


@pytest.mark.parametrize("host", ["other.example.com", None])
def test_it_has_to_be_for_the_host_that_is_asked_for(gateway: Gateway, host: str | None) -> None:
    answer = get(gateway, host, gateway.certificate)
    assert answer.status is None
    assert "certificate verify failed" in str(answer.problem)
    assert gateway.hosts == []


@pytest.mark.parametrize("given", [True, False])
def test_no_other_certificate_is_trusted(gateway: Gateway, tmp_path: Path, given: bool) -> None:
    answer = get(gateway, HOST, certify(tmp_path, HOST, "other") if given else None)
    assert "certificate verify failed" in str(answer.problem)
    assert gateway.hosts == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_without_certificates_nothing_is_asked(
    gateway: Gateway, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "tls.crt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ProbeError, match=r"tls\.crt: no certificates \(") as ended:
        get(gateway, HOST, file)
    assert ended.value.status == MISUSE
    assert gateway.named == []
