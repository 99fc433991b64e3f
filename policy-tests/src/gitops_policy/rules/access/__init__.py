"""Rules about RBAC."""
