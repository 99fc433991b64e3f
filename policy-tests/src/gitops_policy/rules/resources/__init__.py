"""Rules about amounts: requests, limits and quotas."""
