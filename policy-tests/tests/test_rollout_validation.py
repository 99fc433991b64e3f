"""Rollouts are refused where Argo Rollouts refuses them.

The verdicts were recorded from `ValidateRollout` of argo-rollouts 1.10.0: the smallest of 30,000
generated Rollouts for each of its messages, and for each set of fields that it accepts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gitops_policy.argo.rollout_validation import flaws

RECORDED = Path(__file__).with_name("recorded") / "rollout-verdicts.jsonl"
VERDICTS = [json.loads(line) for line in RECORDED.read_text().splitlines()]


def test_both_verdicts_are_recorded() -> None:
    refused = [verdict for verdict in VERDICTS if verdict["refused"]]
    assert len(refused) > 50
    assert len(VERDICTS) - len(refused) > 25


@pytest.mark.parametrize("verdict", VERDICTS, ids=range(len(VERDICTS)))
def test_a_rollout_is_refused_as_the_controller_does(verdict: dict[str, Any]) -> None:
    found = list(flaws({"spec": verdict["spec"]}))
    assert bool(found) is bool(verdict["refused"]), verdict["refused"] or found
