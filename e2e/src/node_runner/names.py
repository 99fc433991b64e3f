"""Cluster DNS by substitution: processes share the resolver of the machine they run on."""

import re
from collections.abc import Mapping

# scheme://host[:port], host[:port] alone, or a full name of a Service anywhere in a text.
_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<user>[^/@\s]*@)?(?P<host>[a-z0-9][a-z0-9.-]*)(?::(?P<port>\d+))?",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?P<host>[a-z0-9][a-z0-9-]*\.[a-z0-9.-]+)(?::(?P<port>\d+))?", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443, "grpc": 80, "redis": 6379, "postgresql": 5432}
_SUFFIXES = (".svc.cluster.local", ".svc")

Addresses = Mapping[tuple[str, int], str]


def canonical(host: str, namespace: str) -> str:
    """Return `name.namespace` of a host in the forms that cluster DNS knows."""
    host = host.lower().rstrip(".")
    for suffix in _SUFFIXES:
        host = host.removesuffix(suffix)
    return host if "." in host else f"{host}.{namespace}"


def substitute(text: str, namespace: str, addresses: Addresses) -> str:
    """Return the text with the Services it names replaced by their addresses.

    `addresses` maps (`name.namespace`, port) to `address:port`. A host without a dot counts only
    in a URL, because the name of a model may be the name of a Service too.
    """

    def address(host: str, port: int) -> str | None:
        name = canonical(host, namespace)
        any_of = f"*.{name.partition('.')[2]}"
        return addresses.get((name, port)) or addresses.get((any_of, port))

    def in_url(match: re.Match[str]) -> str:
        port = int(match["port"] or _PORTS.get(match["scheme"].lower(), 0))
        found = address(match["host"], port)
        return f"{match['scheme']}://{match['user'] or ''}{found}" if found else match[0]

    def alone(match: re.Match[str]) -> str:
        if match["port"]:
            return address(match["host"], int(match["port"])) or match[0]
        return match[0]

    if "://" in text:
        return _URL.sub(in_url, text)
    whole = _HOST.fullmatch(text)
    return alone(whole) if whole else text


def parse_hosts(document: object) -> dict[tuple[str, int], str]:
    """Return the addresses of a hosts file: `name.namespace.svc:port: address:port`.

    The name `*` is every name of that namespace that has no line of its own.
    """
    if not isinstance(document, dict):
        raise ValueError("expected lines such as mlflow.ml-system.svc:5000: 127.0.0.1:5000")
    found = {}
    for name, address in document.items():
        host, colon, port = str(name).rpartition(":")
        if not colon or not port.isdigit() or ":" not in str(address):
            raise ValueError(f"{name}: {address}: expected host:port on both sides")
        found[canonical(host, "default"), int(port)] = str(address)
    return found
