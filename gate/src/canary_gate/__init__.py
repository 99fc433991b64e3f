"""The canary gate: AnalysisTemplates evaluated as the controller does."""
