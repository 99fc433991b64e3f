"""What is measured, one module for each question; each returns plain figures."""
