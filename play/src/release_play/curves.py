"""What Prometheus saw of a release, second by second, for the plots."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from release_play.outcome import Curves, Points
from release_play.prometheus import Prometheus


@dataclass(frozen=True)
class Test:
    """The sequential test of errors: its query, and the boundaries where it decides."""

    query: str
    accept_at: float
    reject_at: float


def read_curves(
    prometheus: Prometheus,
    namespace: str,
    hashes: tuple[str, str],
    test: Test | None,
    span: tuple[float, float],
) -> Curves | None:
    """Range queries over `span` (Unix seconds); None when Prometheus does not answer any more."""

    def series(expression: str) -> Points:
        return prometheus.query_range(expression, *span)

    def rate(pod_template_hash: str, extra: str = "") -> str:
        labels = (
            f'namespace="{namespace}",rollouts_pod_template_hash="{pod_template_hash}",'
            f'endpoint=~"infer|predict"{extra}'
        )
        return f"sum(rate(http_requests_total{{{labels}}}[5s]))"

    stable, canary = hashes
    failed = rate(canary, ',status=~"5.."')
    try:
        return Curves(
            stable=series(rate(stable)),
            canary=series(rate(canary)),
            errors=series(f"100 * {failed} / ({rate(canary)} > 0)"),
            llr=series(test.query) if test else [],
            boundaries=(test.accept_at, test.reject_at) if test else None,
        )
    except httpx.HTTPError:
        return None
