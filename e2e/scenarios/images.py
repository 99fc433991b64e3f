"""Faulty images of e2e/images.yaml; their digests say what they are."""

SLOW = f"sha256:{'0' * 62}01"
"""The server behind a wrapper that delays every answer."""
CRASHES = f"sha256:{'0' * 62}02"
"""Ends with an error a moment after its start."""
