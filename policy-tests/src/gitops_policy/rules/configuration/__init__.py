"""Rules about what containers are configured with."""
