"""Ray Serve: one deployment with `serve.batch`, or without.

Settings: docs.ray.io, Serve's "Performance Tuning" (throughput-optimised flags, `async` methods,
a large `max_ongoing_requests`, batching). Its HAProxy mode needs a program that PyPI lacks.
"""

import os
import signal
from pathlib import Path

os.environ |= {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"}

import numpy as np
import ray
from ray import serve
from session import INPUT, MODEL, arguments, session


def deployment(options):
    """Return the deployment with or without batches."""

    class Base:
        def __init__(self, model: str) -> None:
            os.environ[MODEL] = model
            self.session = session()

        def run(self, rows):
            return self.session.run(None, {INPUT: np.array(rows, dtype=np.float32)})[0].tolist()

    class Single(Base):
        async def __call__(self, request):
            return {"outputs": self.run((await request.json())["inputs"])}

    class Batched(Base):
        @serve.batch(max_batch_size=options.batch or 1, batch_wait_timeout_s=0.0)
        async def together(self, rows):
            return self.run(rows)

        async def __call__(self, request):
            [row] = (await request.json())["inputs"]
            return {"outputs": [await self.together(row)]}

    chosen = Batched if options.batch else Single
    settings = serve.deployment(
        name="mlp",
        num_replicas=options.workers,
        max_ongoing_requests=1000,
        ray_actor_options={"num_cpus": 0.1},
    )
    return settings(chosen).bind(str(options.model))


def main() -> None:
    """Start a Ray of its own and serve until SIGTERM."""
    options = arguments()
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level="warning",
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).resolve().parent)}},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": options.port}, logging_config={
        "enable_access_log": False, "log_level": "WARNING"})  # fmt: skip
    serve.run(deployment(options), logging_config={"enable_access_log": False})
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()


if __name__ == "__main__":
    main()
