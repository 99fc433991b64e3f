"""Takes a feature out of the server, which has no switch for it, to measure what it costs.

Python imports this by itself where PYTHONPATH names this folder; BENCH_LACKS names the feature.
"""

import os
import sys


def _take_out(feature: str) -> None:
    from inference_server.inference.pipeline import Pipeline
    from inference_server.observability.metrics import Metrics
    from inference_server.observability.model_metrics import ModelMetrics

    methods = {
        "metrics": {
            Metrics: ("start", "finish", "leave"),
            ModelMetrics: ("ran", "waited", "observe", "depth"),
        },
        "request id": {Pipeline: ("request_id",)},
    }
    for owner, names in methods[feature].items():
        for name in names:
            getattr(owner, name)  # gone: the bench has to follow
            setattr(owner, name, _nothing)


def _nothing(*_arguments: object, **_more: object) -> bytes:
    return b""


if feature := os.environ.get("BENCH_LACKS"):
    try:
        _take_out(feature)
    except Exception as error:
        # Python only prints an error in this module and goes on: that would measure nothing.
        print(f"cannot take out {feature}: {error!r}", file=sys.stderr, flush=True)
        os._exit(70)
