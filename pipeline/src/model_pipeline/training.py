"""Fits the model: a scaler and a small neural network."""

import warnings
from dataclasses import dataclass
from typing import Any

from model_pipeline.dataset import Dataset

HIDDEN_UNITS = 16
ALPHAS = (1.0, 3.0, 10.0, 30.0)
MAX_ITERATIONS = 300


@dataclass(frozen=True)
class Fitted:
    """A fitted scikit-learn pipeline and the parameters that made it."""

    estimator: Any
    parameters: dict[str, str | int | float]


def fit(dataset: Dataset, seed: int) -> Fitted:
    """Fit one network per regularisation strength; keep the best on the validation part.

    Best is the smallest log loss: accuracy is too coarse on 85 rows.
    """
    from sklearn.metrics import log_loss

    validation = dataset.validation
    candidates = []
    for alpha in ALPHAS:
        estimator = _fit_one(dataset, alpha, seed)
        scores = estimator.predict_proba(validation.features)
        candidates.append((float(log_loss(validation.labels, scores)), alpha, estimator))
    loss, alpha, estimator = min(candidates, key=lambda candidate: candidate[:2])
    parameters: dict[str, str | int | float] = {
        "algorithm": "standard scaler, multi-layer perceptron",
        "hidden_units": HIDDEN_UNITS,
        "alpha": alpha,
        "max_iterations": MAX_ITERATIONS,
        "seed": seed,
        "validation_log_loss": round(loss, 6),
    }
    return Fitted(estimator, parameters)


def _fit_one(dataset: Dataset, alpha: float, seed: int) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    network = MLPClassifier(
        (HIDDEN_UNITS,),
        solver="lbfgs",
        alpha=alpha,
        tol=1e-3,
        max_iter=MAX_ITERATIONS,
        random_state=seed,
    )
    estimator = make_pipeline(StandardScaler(), network)
    # On matrices this small, BLAS threads that wait for a busy core cost ten times the work.
    with threadpool_limits(1), warnings.catch_warnings():
        # An unconverged network is judged by the gates like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(dataset.train.features.astype("float64"), dataset.train.labels)
    return estimator
