"""The canary gate: AnalysisTemplates evaluated as the controller does."""

from canary_gate.analysis import Analysis, Metric
from canary_gate.assessment import Measurement, MetricResult
from canary_gate.errors import EvaluationError, ProviderError, RefusedError
from canary_gate.evaluation import ProviderValue
from canary_gate.job import Job, JobRunner
from canary_gate.prometheus import PrometheusProvider
from canary_gate.rollout import (
    AnalysisStep,
    Pause,
    SetCanaryScale,
    SetWeight,
    Step,
    StepArgument,
    canary_steps,
    resolve_arguments,
    step_analysis,
)
from canary_gate.run import AnalysisResult, AnalysisRun, Provider, run_analysis
from canary_gate.template import AnalysisTemplate, load_templates
from canary_gate.verdict import Action, Phase, Verdict

__all__ = [
    "Action",
    "Analysis",
    "AnalysisResult",
    "AnalysisRun",
    "AnalysisStep",
    "AnalysisTemplate",
    "EvaluationError",
    "Job",
    "JobRunner",
    "Measurement",
    "Metric",
    "MetricResult",
    "Pause",
    "Phase",
    "PrometheusProvider",
    "Provider",
    "ProviderError",
    "ProviderValue",
    "RefusedError",
    "SetCanaryScale",
    "SetWeight",
    "Step",
    "StepArgument",
    "Verdict",
    "canary_steps",
    "load_templates",
    "resolve_arguments",
    "run_analysis",
    "step_analysis",
]
