"""Questions about metrics, queries and alerts that several rules ask."""
