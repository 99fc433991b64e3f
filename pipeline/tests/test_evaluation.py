"""Metrics are those of their definitions; gates stop what they should."""

import math
from dataclasses import replace

import numpy as np
import pytest
from model_pipeline import evaluation
from model_pipeline.evaluation import Metrics

GOOD = Metrics(accuracy=0.97, precision=0.96, recall=0.95, f1=0.955, auc=0.99)


def failed(candidate: Metrics, champion: Metrics | None = None) -> list[tuple[str, bool]]:
    return [
        (gate.reason, gate.required)
        for gate in evaluation.gates(candidate, champion)
        if not gate.passed
    ]


def test_metrics_of_a_hand_counted_confusion_matrix():
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0], np.int64)
    predicted = np.array([1, 1, 0, 1, 0, 0, 0, 0], np.int64)
    scores = np.array([0.9, 0.8, 0.3, 0.6, 0.2, 0.1, 0.1, 0.0], np.float32)
    metrics = evaluation.measure(labels, predicted, scores)
    assert metrics.accuracy == 6 / 8
    assert metrics.precision == pytest.approx(2 / 3)
    assert metrics.recall == pytest.approx(2 / 3)
    assert metrics.f1 == pytest.approx(2 / 3)
    assert metrics.auc == pytest.approx(14 / 15)


def test_a_model_that_predicts_one_class_has_no_precision():
    labels = np.array([1, 0], np.int64)
    metrics = evaluation.measure(labels, np.zeros(2, np.int64), np.zeros(2, np.float32))
    assert (metrics.precision, metrics.recall, metrics.f1, metrics.auc) == (0, 0, 0, 0.5)


def test_a_good_model_passes_every_gate():
    assert failed(GOOD) == []


@pytest.mark.parametrize(
    ("accuracy", "stopped"),
    [
        (0.95, []),
        (0.9499, [("expected", False)]),
        (0.85, [("expected", False)]),
        (0.8499, [("required", True), ("expected", False)]),
        (math.nan, [("required", True), ("expected", False)]),
    ],
)
def test_accuracy_below_85_percent_stops_and_below_95_percent_warns(accuracy, stopped):
    assert failed(replace(GOOD, accuracy=accuracy)) == stopped


@pytest.mark.parametrize("auc", [0.8999, math.nan])
def test_a_low_auc_stops(auc):
    assert failed(replace(GOOD, auc=auc)) == [("required", True)]


def test_a_candidate_clearly_worse_than_the_champion_stops():
    champion = replace(GOOD, accuracy=0.99)
    assert failed(replace(GOOD, accuracy=0.96), champion) == [("champion less 0.02", True)]
    assert failed(replace(GOOD, accuracy=0.971), champion) == []
