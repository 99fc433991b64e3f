"""Oracle: the evaluator of the gate beside the real Argo Rollouts controller."""
