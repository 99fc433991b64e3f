"""Rules about monitors, queries and alerts."""
