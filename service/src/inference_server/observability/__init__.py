"""Metrics, logs, traces and the prediction log."""
