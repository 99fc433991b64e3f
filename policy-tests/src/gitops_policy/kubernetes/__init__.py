"""Questions about Kubernetes objects that several rules ask."""
