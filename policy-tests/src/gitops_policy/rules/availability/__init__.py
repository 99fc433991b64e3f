"""Rules about staying available: counts, budgets, places."""
