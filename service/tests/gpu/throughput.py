"""Asks one model with images in binary, alone or by many clients at once."""

import json
import threading
import time
from dataclasses import dataclass

import httpx
import numpy as np

SIDE = 64


def binary_request(images: np.ndarray) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a v2 inference of `images` [N,3,SIDE,SIDE], answered in binary too."""
    content = np.ascontiguousarray(images, dtype="<f4").tobytes()
    tensor = {
        "name": "images",
        "shape": list(images.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(content)},
    }
    wanted = [{"name": "scores", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": wanted}).encode()
    return head + content, {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }


def infer(client: httpx.Client, model: str, images: np.ndarray) -> np.ndarray:
    """The scores [N,10]; an answer other than 200 is an error."""
    body, headers = binary_request(images)
    answer = client.post(f"/v2/models/{model}/infer", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    head = int(answer.headers["inference-header-content-length"])
    shape = json.loads(answer.content[:head])["outputs"][0]["shape"]
    return np.frombuffer(answer.content[head:], dtype="<f4").reshape(shape)


@dataclass(frozen=True)
class Measured:
    """What clients got in a time."""

    answers: int
    failures: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def measure(base_url: str, model: str, clients: int, seconds: float) -> Measured:
    """Ask for one image again and again, once at least; answers other than 200 are failures."""
    body, headers = binary_request(np.ones((1, 3, SIDE, SIDE)))
    counts = [[0, 0] for _ in range(clients)]
    begin = time.perf_counter()
    end = begin + seconds

    def ask(count: list[int]) -> None:
        with httpx.Client(base_url=base_url, timeout=60) as client:
            while not sum(count) or time.perf_counter() < end:
                answer = client.post(f"/v2/models/{model}/infer", content=body, headers=headers)
                count[answer.status_code != 200] += 1

    threads = [threading.Thread(target=ask, args=(count,)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers, failures = (sum(column) for column in zip(*counts, strict=True))
    return Measured(answers, failures, time.perf_counter() - begin)
