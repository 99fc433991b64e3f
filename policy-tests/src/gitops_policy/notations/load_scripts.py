"""What a load test asks and how fast: read from k6 and Locust scripts and from commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from gitops_policy.notations.durations import go_seconds

# `'...'`, `"..."` or a template literal, with its content.
_LITERAL = r"""(?:'([^'\n]*)'|"([^"\n]*)"|`([^`\n]*)`)"""
_K6_CALL = re.compile(r"\bhttp\.(?:get|post|put|patch|del|head|options|request)\(\s*([^\n;]*)")
_LOCUST_CALL = re.compile(r"\.client\.(?:get|post|put|patch|delete|head|request)\(\s*([^\n]*)")
_CLI = re.compile(r"(?:^|[\s/])(hey|wrk2?|ab|bombardier|oha|vegeta|autocannon|siege)(?=\s)", re.M)
_URL = re.compile(r"https?://[^\s\"'`|)]+")
_HEALTH = re.compile(
    r"^/?(v\d+/)?(healthz?|livez?|readyz?|live|ready|liveness|readiness|ping|status|metrics"
    r"|-/healthy|-/ready|actuator/health)(/(live|ready|liveness|readiness))?/?$"
)
_OPEN = ("constant-arrival-rate", "ramping-arrival-rate")
_SLEEP = re.compile(r"\bsleep\(\s*(\d+(?:\.\d+)?)\s*\)")
_RATE = re.compile(
    r"""['"]?(http_reqs|iterations)(?:\{[^}]*\})?['"]?\s*:\s*\[?[^\]]{0,200}?"""
    r"""['"`]rate\s*>=?\s*(\d+(?:\.\d+)?)['"`]"""
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a test sends: users that wait for answers (closed), or a rate (open).

    `reach` is the highest rate in requests a second that its pauses allow, None without a bound;
    `claimed` is the rate that its thresholds ask for.
    """

    closed: bool
    reach: Fraction | None
    claimed: Fraction | None


def is_load_test(content: str) -> bool:
    """Say whether a text is a k6 or Locust script."""
    k6 = "k6/http" in content and "http." in content
    return k6 or ("locust" in content and ".client." in content)


def paths(content: str, *, command: bool) -> list[str] | None:
    """Return the paths that a script or command asks; None where it asks what is not known."""
    if is_load_test(content):
        found = [_path(argument) for argument in _arguments(content)]
    elif command and _CLI.search(content):
        found = [_of_url(url) for url in _URL.findall(content)]
    else:
        return None
    known = [path for path in found if path is not None]
    return known if known and len(known) == len(found) else None


def _arguments(content: str) -> Iterator[str]:
    yield from _K6_CALL.findall(content)
    yield from _LOCUST_CALL.findall(content)


def _path(argument: str) -> str | None:
    """Return the path of a call's URL: `${BASE}/a`, `BASE + '/a'`, `'/a'`, 'https://b/a'."""
    literals = ["".join(match) for match in re.findall(_LITERAL, argument)]
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    texts = [item for item in literals if item.upper() not in methods]
    return _of_url(texts[0]) if texts else None


def _of_url(url: str) -> str | None:
    rest = re.sub(r"^(https?://[^/$]*(\$\{[^}]*\}[^/$]*)*|\$\{[^}]*\})", "", url).split("?")[0]
    return rest if rest.startswith("/") else None


def is_health(path: str) -> bool:
    """Say whether a path is a health check or the like."""
    return bool(_HEALTH.match(path.rstrip("/") or "/"))


def pace(content: str) -> Pace | None:
    """Return how a k6 script sends; None for any other text."""
    if "k6/http" not in content:
        return None
    sleeps = sum((Fraction(value) for value in _SLEEP.findall(content)), Fraction(0))
    requests = max(len(_K6_CALL.findall(content)), 1)
    claim = max((Fraction(rate) for _, rate in _RATE.findall(content)), default=None)
    executors = re.findall(r"executor\s*:\s*['\"`]([\w-]+)['\"`]", content)
    if any(name in _OPEN for name in executors):
        users = _largest(content, "maxVUs") or _largest(content, "preAllocatedVUs")
        # Users that sleep cannot start more iterations than this.
        reach = users * requests / sleeps if sleeps and users else None
        return Pace(False, reach, _arrival_rate(content))
    users = max(_largest(content, "vus") or Fraction(1), _largest(content, "target") or Fraction(0))
    reach = users * requests / sleeps if sleeps else None
    return Pace(True, reach, claim)


def _largest(content: str, name: str) -> Fraction | None:
    found = re.findall(rf"\b{name}\s*:\s*(\d{{1,9}})\b", content)
    return max(map(Fraction, found), default=None)


def _arrival_rate(content: str) -> Fraction | None:
    rates = [_largest(content, name) for name in ("rate", "target", "startRate")]
    highest = max((rate for rate in rates if rate is not None), default=None)
    unit = re.search(r"timeUnit\s*:\s*['\"`]([^'\"`]+)['\"`]", content)
    seconds = Fraction(str(go_seconds(unit.group(1)) or 1)) if unit else Fraction(1)
    return highest / seconds if highest is not None and seconds else None
