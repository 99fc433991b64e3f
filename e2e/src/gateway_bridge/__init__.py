"""Carries Gateway API objects from the API server to a standalone Envoy Gateway."""
