"""Questions about Argo CD and Argo Rollouts that several rules ask."""
