"""`inference-server fetch`: brings one model file, verified, into a model repository."""
