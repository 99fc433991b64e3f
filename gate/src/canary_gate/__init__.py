"""The canary gate: AnalysisTemplates evaluated as the controller does."""

from canary_gate.analysis import Analysis, Metric
from canary_gate.assessment import Measurement, MetricResult
from canary_gate.errors import EvaluationError, ProviderError, RefusedError
from canary_gate.evaluation import ProviderValue
from canary_gate.job import Job, JobRunner
from canary_gate.prometheus import PrometheusProvider
from canary_gate.rollout import (
    BackgroundAnalysis,
    background_analysis,
    canary_steps,
    experiment_phase,
    promotion_analyses,
    resolve_arguments,
    step_analysis,
)
from canary_gate.run import AnalysisResult, AnalysisRun, Provider, run_analysis
from canary_gate.step import (
    AnalysisStep,
    ExperimentStep,
    Pause,
    SetCanaryScale,
    SetHeaderRoute,
    SetWeight,
    Step,
)
from canary_gate.step_arguments import StepArgument
from canary_gate.template import AnalysisTemplate, load_templates
from canary_gate.verdict import Action, Phase, Verdict, rollout_action

__all__ = [
    "Action",
    "Analysis",
    "AnalysisResult",
    "AnalysisRun",
    "AnalysisStep",
    "AnalysisTemplate",
    "BackgroundAnalysis",
    "EvaluationError",
    "ExperimentStep",
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
    "SetHeaderRoute",
    "SetWeight",
    "Step",
    "StepArgument",
    "Verdict",
    "background_analysis",
    "canary_steps",
    "experiment_phase",
    "load_templates",
    "promotion_analyses",
    "resolve_arguments",
    "rollout_action",
    "run_analysis",
    "step_analysis",
]
