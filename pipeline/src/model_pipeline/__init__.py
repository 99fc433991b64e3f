"""Training, gates, ONNX export and registration of the example model."""

from model_pipeline.errors import GateError, PipelineError
from model_pipeline.pipeline import TrainingConfig, TrainingResult, register_model, train
from model_pipeline.release_file import ModelRelease, ReleaseFileError, parse_env

__all__ = [
    "GateError",
    "ModelRelease",
    "PipelineError",
    "ReleaseFileError",
    "TrainingConfig",
    "TrainingResult",
    "parse_env",
    "register_model",
    "train",
]
