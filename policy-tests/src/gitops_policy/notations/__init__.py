"""Notations inside manifests, each read as its owner reads it: amounts, times, names, queries."""
