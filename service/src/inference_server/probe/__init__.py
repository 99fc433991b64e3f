"""`inference-server probe`: asks a running service what a release has to answer well."""
