"""Rules about Argo Rollouts."""
