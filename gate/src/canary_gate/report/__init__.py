"""Writes what the simulation found as tables and plots; needs `canary-gate[report]`."""
