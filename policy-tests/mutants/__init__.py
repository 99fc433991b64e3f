"""Mutants of the rendered overlays: each breaks one promise, and the suite must see it."""
