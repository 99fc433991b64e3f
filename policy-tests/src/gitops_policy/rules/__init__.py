"""The rules: a folder for each area, a module for each concern; each is found by itself."""
