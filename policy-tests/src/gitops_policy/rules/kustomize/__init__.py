"""Rules about kustomizations."""
