"""The pure parts of the bench: what it asks of the generator, its statistics, its comparison."""

import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest

from service.bench import baseline, bodies, models, page
from service.bench.baseline import Ratio, regressions
from service.bench.figures import Limit, best, least_goodput, ratios, refusal_cost, spread
from service.bench.load import Load, Request, parse, plan
from service.bench.ours import ADDED, everything, features
from service.bench.scenarios import peers
from service.bench.scenarios.overload import growth
from service.bench.verdicts import Verdicts, judge_peers, strongest


def report(**more: object) -> str:
    latencies = {"count": 3, "in_time": 4, "mean": 0.002, "max": 0.004, "at": {"50": 0.001}}
    refused = {"count": 2, "in_time": 2, "mean": 0.001, "max": 0.001, "at": {"50": 0.0005}}
    found = {
        "seconds": 2.0,
        "started": 7,
        "lost": 1,
        "wrong": 1,
        "refused_connections": 0,
        "cpu": 0.1,
        "statuses": {"200": latencies, "429": refused},
    }
    return json.dumps(found | more)


def test_a_request_is_whole_http_with_the_length_of_its_binary_body() -> None:
    body = bytes(range(256))
    raw = Request("/v2/models/m/infer", body, {"X-API-Key": "k"}).raw("127.0.0.1:80")
    head, _, rest = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1:80\r\n")
    assert b"X-API-Key: k" in head
    assert b"Content-Length: 256" in head
    assert rest == body


def test_the_plan_carries_bodies_and_right_answers_as_base64() -> None:
    asked = json.loads(plan("127.0.0.1:1", [Request("/", b"\xff", answers=(b"\x00",))], Load(16)))
    [request] = asked["requests"]
    assert base64.b64decode(request["raw"]).endswith(b"\r\n\r\n\xff")
    assert base64.b64decode(request["answers"][0]) == b"\x00"
    assert (asked["connections"], asked["rate"], asked["count"]) == (16, 0, 0)


def test_a_number_of_requests_needs_no_warm_up() -> None:
    assert json.loads(plan("127.0.0.1:1", [], Load(1, count=10)))["warmup"] == 0


def test_a_report_gives_rate_latency_and_failures() -> None:
    found = parse(report())
    assert found.rate() == 2
    assert found.rate(429) == 1
    assert found.rate(503) == 0
    assert found.latency("50") == 0.001
    assert math.isnan(found.latency("50", 503))
    assert found.failures == 1 + 1 + 2


def test_a_binary_body_is_read_back_as_the_same_numbers() -> None:
    tensor = models.rows(3)
    body, headers = bodies.v2_binary("features", tensor)
    length = int(headers["Inference-Header-Content-Length"])
    [described] = json.loads(body[:length])["inputs"]
    assert described["shape"] == [3, 30]
    assert np.frombuffer(body[length:], "<f4").tolist() == tensor.ravel().tolist()


def test_answers_of_v2_are_read_from_json_and_from_binary() -> None:
    values = np.array([[0.25, 0.75]], dtype=np.float32)
    output = {"name": "y", "datatype": "FP32", "shape": [1, 2]}
    as_json = json.dumps({"outputs": [output | {"data": [0.25, 0.75]}]}).encode()
    head = json.dumps({"outputs": [output]}).encode()
    assert bodies.read_v2(as_json).tolist() == values.tolist()
    assert bodies.read_v2(head + values.tobytes(), len(head)).tolist() == values.tolist()


def test_answers_are_read_under_their_keys() -> None:
    read = bodies.read_key("predictions", "probabilities")
    assert read(b'{"predictions": {"probabilities": [[1, 2]]}}').tolist() == [[1, 2]]


def test_a_spread_is_median_and_extremes() -> None:
    found = spread([3, 1, 2])
    assert (found.middle, found.low, found.high) == (2, 1, 3)
    assert f"{found:.1f}" == "2.0 (1.0 to 3.0)"
    assert f"{spread([2]):.1f}" == "2.0"
    assert math.isnan(spread([]).middle)


def test_ratios_are_taken_round_by_round() -> None:
    # a machine twice as slow in the second round changes no ratio
    assert ratios([100, 50], [50, 25]).low == ratios([100, 50], [50, 25]).high == 2


def test_the_best_has_the_largest_median_not_the_largest_value() -> None:
    assert best({"steady": [10, 10, 10], "lucky": [1, 1, 99]}) == "steady"


def test_what_a_server_can_answer_beyond_its_capacity_falls_with_the_cost_of_refusals() -> None:
    assert least_goodput(1.5, 0) == 1
    assert least_goodput(1.5, 0.2) == pytest.approx(0.7 / 0.8)
    assert least_goodput(1.5, 0.9) == 0
    assert least_goodput(1.5, 1.2) == 1


def test_the_cost_of_a_refusal_is_what_is_left_beside_the_answers() -> None:
    # 10 answers of 2 s and 100 refusals take 40 s: a refusal takes 0.2 s, a tenth of an answer
    assert refusal_cost(40, 10, 100, 2) == pytest.approx(0.1)
    assert math.isnan(refusal_cost(40, 10, 0, 2))


def test_memory_grows_by_what_the_last_third_has_over_the_middle_one() -> None:
    assert growth([1, 5, 10, 10, 10, 11]) == pytest.approx(0.1)
    assert math.isnan(growth([1]))


@pytest.mark.parametrize(
    ("measured", "at_least", "said"),
    [(2, True, "met"), (0.5, True, "**missed**"), (2, False, "**missed**"),
     (0.5, False, "met"), (math.nan, True, "not measured")],
)  # fmt: skip
def test_a_limit_is_met_missed_or_not_measured(measured: float, at_least: bool, said: str) -> None:
    assert Limit("x", measured, 1, at_least).row[-1] == said


def test_a_ratio_that_got_worse_beyond_its_tolerance_is_named() -> None:
    before = {"rate": Ratio(2.0, tolerance=0.2), "tail": Ratio(2.0, False, 0.5)}
    fine = {"rate": Ratio(1.7), "tail": Ratio(2.9, False)}
    assert regressions(before, fine) == []
    worse = {"rate": Ratio(1.5), "tail": Ratio(3.1, False)}
    assert [line.partition(":")[0] for line in regressions(before, worse)] == ["rate", "tail"]


def test_a_ratio_that_is_no_longer_measured_is_named() -> None:
    before = {"a": Ratio(1), "b": Ratio(1)}
    found = regressions(before, {"a": Ratio(math.nan)})
    assert [line.endswith("not measured now") for line in found] == [True, True]


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    assert baseline.read(path) == {}
    baseline.write(path, {"a": Ratio(1.23456, False, 0.3), "gone": Ratio(math.nan)})
    assert baseline.read(path) == {"a": Ratio(1.23, False, 0.3)}


def measured(**rates: float) -> peers.Found:
    found = peers.Found()
    for at in peers.CONCURRENCY:
        found.rates[peers.OURS, "1 worker", at] = [100]
        found.rates[peers.OURS, "2 workers", at] = [150]
        for title, rate in rates.items():
            found.rates[title, "1 worker, no batching", at] = [rate]
            found.rates[title, "2 workers, no batching", at] = [2 * rate]
    return found


def test_one_worker_is_compared_with_one_of_python_and_two_with_the_best_of_all() -> None:
    found = measured(MLServer=50, Triton=120)
    assert strongest(found, 16, {"MLServer"}, "1 worker") == ("MLServer", "1 worker, no batching")
    verdicts = Verdicts()
    judge_peers(found, verdicts)
    said = {limit.what: limit.measured for limit in verdicts.limits}
    assert {limit.beside for limit in verdicts.limits} == {"MLServer", "Triton", ""}
    assert said["1 worker, concurrency 16: of the best Python peer"] == 2
    assert said["2 workers, concurrency 64: of the best peer"] == 150 / 240
    assert said["2 workers, concurrency 1: of Triton's best"] == 150 / 240


def test_without_a_peer_a_limit_is_not_measured() -> None:
    verdicts = Verdicts()
    judge_peers(measured(MLServer=50), verdicts)
    assert [limit.holds for limit in verdicts.limits if "Triton" in limit.what] == [None]


def test_each_writer_of_the_page_leaves_the_others_parts(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# Benchmarks\n\npolicy\n")
    page.put(path, page.SOAK_MARK, "soak 1")
    page.put(path, page.MARK, "service 1")
    page.put(path, page.SOAK_MARK, "soak 2")
    text = path.read_text()
    assert [text.count(part) for part in ("policy", "service 1", "soak 1", "soak 2")] == [
        1,
        1,
        0,
        1,
    ]
    page.put(path, page.MARK, "service 2")
    text = path.read_text()
    assert [text.count(part) for part in ("policy", "service 1", "service 2", "soak 2")] == [
        1,
        0,
        1,
        1,
    ]


def test_the_models_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    made = [models.mlp(tmp_path / name / "mlp" / "1" / "model.onnx") for name in "ab"]
    assert made[0].read_bytes() == made[1].read_bytes()


def test_each_feature_is_changed_by_settings_that_the_server_has() -> None:
    base = everything()
    for name, setup in features().items():
        more = set(setup.settings.items()) - set(base.settings.items())
        assert (name in ADDED) <= bool(more or setup.config), name
        assert not setup.missing, name
