"""Training and registration of the example model."""
