"""Rules about NetworkPolicies."""
