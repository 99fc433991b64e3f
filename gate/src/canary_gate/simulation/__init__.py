"""Draws releases and judges them with the templates' own conditions, many at once.

Needs numpy and scipy: install `canary-gate[simulation]`.
"""

from canary_gate.simulation.cells import Cell, Spread, simulate
from canary_gate.simulation.scenario import GOOD, Onset, Outage, Rates, Scenario

__all__ = ["GOOD", "Cell", "Onset", "Outage", "Rates", "Scenario", "Spread", "simulate"]
