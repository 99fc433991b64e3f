"""ONNX Runtime alone, in a process of its own: what a server cannot beat on these cores.

Usage: python -m service.bench.raw MODEL ROWS THREADS INTRA SECONDS; prints inferences per s.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime

from service.bench import models
from service.bench.places import ROOT


def measure(model: Path, rows: int, threads: int, intra: int, seconds: float) -> float:
    """Return inferences per second of `threads` threads that run the model side by side."""
    arguments = [str(model), str(rows), str(threads), str(intra), str(seconds)]
    command = [sys.executable, "-m", "service.bench.raw", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _run(model: Path, rows: int, threads: int, intra: int, seconds: float) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra
    session = onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    feed = {given.name: models.rows(rows) if len(given.shape) == 2 else models.images(rows)}
    for _ in range(3):
        session.run(None, feed)
    counts = [0] * threads
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        while time.perf_counter() < end:
            session.run(None, feed)
            counts[number] += 1

    began = time.perf_counter()
    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    return sum(counts) / (time.perf_counter() - began)


def parsing_floor(body: bytes, times: int = 30) -> float:
    """Return processor seconds that a JSON body costs at least: orjson and NumPy, the median."""
    import orjson

    spent = []
    for _ in range(times):
        began = time.process_time()
        data = orjson.loads(body)["inputs"][0]["data"]
        np.array(data, dtype=np.float32)
        spent.append(time.process_time() - began)
    return float(np.median(spent))


if __name__ == "__main__":
    model, rows, threads, intra, seconds = sys.argv[1:]
    print(_run(Path(model), int(rows), int(threads), int(intra), float(seconds)))
