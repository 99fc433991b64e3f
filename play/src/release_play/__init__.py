"""Releases played on one machine."""
