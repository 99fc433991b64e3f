"""Metrics on the test part, and the gates that stand between a model and the registry."""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from model_pipeline.dataset import Labels

ACCURACY_REQUIRED = 0.85
ACCURACY_EXPECTED = 0.95
AUC_REQUIRED = 0.90
CHAMPION_TOLERANCE = 0.02


@dataclass(frozen=True)
class Metrics:
    """All in 0..1; precision, recall and F1 of the class `malignant`."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    auc: float

    def as_dict(self) -> dict[str, float]:
        """Name to value."""
        return asdict(self)


@dataclass(frozen=True)
class Gate:
    """One comparison. A gate that is not required only warns."""

    metric: str
    value: float
    minimum: float
    required: bool
    reason: str

    @property
    def passed(self) -> bool:
        """A value that is not a number fails."""
        return self.value >= self.minimum

    def __str__(self) -> str:
        relation = ">=" if self.passed else "<"
        return f"{self.metric} {self.value:.4f} {relation} {self.minimum:.4f} ({self.reason})"


def measure(labels: Labels, predicted: Labels, scores: npt.NDArray[np.float32]) -> Metrics:
    """Metrics of predictions [N] and scores [N] of the positive class."""
    from sklearn import metrics

    return Metrics(
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        precision=float(metrics.precision_score(labels, predicted, zero_division=0.0)),
        recall=float(metrics.recall_score(labels, predicted, zero_division=0.0)),
        f1=float(metrics.f1_score(labels, predicted, zero_division=0.0)),
        auc=float(metrics.roc_auc_score(labels, scores)),
    )


def gates(candidate: Metrics, champion: Metrics | None) -> list[Gate]:
    """The gates of a candidate; with a champion it must not be clearly worse."""
    result = [
        Gate("accuracy", candidate.accuracy, ACCURACY_REQUIRED, True, "required"),
        Gate("accuracy", candidate.accuracy, ACCURACY_EXPECTED, False, "expected"),
        Gate("auc", candidate.auc, AUC_REQUIRED, True, "required"),
    ]
    if champion is not None:
        minimum = champion.accuracy - CHAMPION_TOLERANCE
        reason = f"champion less {CHAMPION_TOLERANCE}"
        result.append(Gate("accuracy", candidate.accuracy, minimum, True, reason))
    return result
