"""Mutants of the AnalysisTemplates: each is wrong in one place, and the cases must see it."""
