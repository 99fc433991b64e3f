"""A real control plane with Argo CD, Argo Rollouts, Prometheus and Envoy, as processes."""
