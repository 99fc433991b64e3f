"""What clients may say and are told: Open Inference Protocol, /predict, /v1, operations."""
