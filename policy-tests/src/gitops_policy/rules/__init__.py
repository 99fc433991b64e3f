"""The rules, one module per concern; every module here is found by itself."""
