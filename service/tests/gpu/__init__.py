"""Checks that need an NVIDIA GPU: `make gpu-test`. Elsewhere they are skipped, with the reason."""
