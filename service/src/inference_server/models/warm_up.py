"""The first runs of a model: they warm every batch size, time it, and show whether rows mix."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inference_server.models.bfloat16 import from_bfloat16, to_bfloat16
from inference_server.models.failures import ModelLoadError, brief
from inference_server.models.session import Run
from inference_server.models.signature import Tensor, TensorSpec, sample_feeds

_DISTINCT = 4  # random rows that a probe tells apart
_ODD = (2, 3, 5, 7)  # sizes between the buckets, which other kernels may compute
_TURNS = 10
_CHEAP = 0.05  # seconds; a longer run is timed once
_TIMED = 0.002  # seconds for which a shorter run is repeated
_QUICK = 0.4e-3  # seconds; twice the rows of such a run are worth a look

Shapes = Mapping[str, tuple[int, ...]]
Specs = Mapping[str, TensorSpec]


@dataclass(frozen=True)
class Observed:
    """What the first runs showed: seconds of a run by its rows, and why rows cannot be joined."""

    seconds: dict[int, float] = field(default_factory=dict)
    unbatchable: str | None = None


def warm_up(
    run: Run,
    inputs: Specs,
    outputs: Specs,
    shapes: Shapes,
    sizes: Sequence[int],
    tolerance: float,
    larger: Sequence[int] = (),
) -> Observed:
    """Run one row, then every size if rows are independent; raises ModelLoadError (`warm_up`).

    `shapes` holds sizes of dynamic dimensions after the first; `tolerance` is relative to values
    larger than 1, absolute below. Sizes that are `larger` are run while the one before is quick.
    """
    zeros = sample_feeds(inputs.values(), shapes)
    try:
        run(zeros)
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise ModelLoadError("warm_up", f"the warm-up run failed: {brief(error)}") from error
    alone = {1: _time(run, zeros)}
    if max(sizes) == 1:
        return Observed(alone, "max_batch_size is 1")
    if reason := _unjoinable(inputs, outputs):
        return Observed(alone, reason)
    try:
        return Observed(_probe(run, inputs, outputs, shapes, sizes, tolerance, larger))
    except _RowsMixError as mixed:
        return Observed(alone, str(mixed))
    except Exception as error:  # a random row may be none that the model takes
        return Observed(alone, f"the probe's rows cannot be run: {brief(error)}")


def is_faster(run: Run, than: Run, inputs: Specs, shapes: Shapes) -> bool:
    """Whether one row takes less time this way, by the best of several runs in turn."""
    zeros = sample_feeds(inputs.values(), shapes)
    run(zeros)
    ours, theirs = zip(
        *((_time(run, zeros), _time(than, zeros)) for _ in range(_TURNS)), strict=True
    )
    return bool(min(ours) < min(theirs))


class _RowsMixError(Exception):
    """A row came out of a batch otherwise than alone."""


def _unjoinable(inputs: Specs, outputs: Specs) -> str | None:
    """Why the signature alone forbids to join rows, or None."""
    for spec in (*inputs.values(), *outputs.values()):
        if not spec.shape or isinstance(spec.shape[0], int):
            return f"{spec.name!r} has no dynamic first dimension"
    names = {spec.shape[0] for spec in inputs.values()}
    if len(names) > 1:
        return f"the inputs' first dimensions differ: {', '.join(sorted(map(str, names)))}"
    name = names.pop()
    inner = (size for spec in (*inputs.values(), *outputs.values()) for size in spec.shape[1:])
    if name is not None and name in inner:
        return f"dimension {name!r} is not only the first one"
    return None


def _probe(
    run: Run,
    inputs: Specs,
    outputs: Specs,
    shapes: Shapes,
    sizes: Sequence[int],
    tolerance: float,
    larger: Sequence[int],
) -> dict[int, float]:
    random = np.random.default_rng(0)
    rows = {spec.name: _random(spec, shapes, random) for spec in inputs.values()}
    alone = [run({name: tensor[i : i + 1] for name, tensor in rows.items()}) for i in range(4)]

    def check(size: int) -> Callable[[], float]:
        """Run so many rows, compare them, and return what times such a run."""
        picks = np.arange(size) % _DISTINCT
        feeds = {name: tensor[picks] for name, tensor in rows.items()}
        start = time.perf_counter()
        together = run(feeds)
        taken = time.perf_counter() - start
        for index, spec in enumerate(outputs.values()):
            expected = [alone[pick][index] for pick in picks]
            _compare(spec, together[index], expected, size, tolerance)
        return lambda: taken if taken > _CHEAP else _time(run, feeds)

    for odd in _ODD:
        if odd < max(sizes):
            check(odd)
    seconds = {size: check(size)() for size in sorted(sizes)}
    for size in larger:
        if seconds[max(seconds)] > _QUICK:
            break
        try:
            seconds[size] = check(size)()
        except _RowsMixError:  # so it is not used
            break
    return seconds


def _compare(
    spec: TensorSpec, together: Tensor, alone: Sequence[Tensor], size: int, tolerance: float
) -> None:
    if together.shape[:1] != (size,) or any(each.shape[:1] != (1,) for each in alone):
        raise _RowsMixError(f"output {spec.name!r} has not one row for each row of the input")
    expected = np.concatenate(alone)
    if together.shape != expected.shape or not _equal(spec, together, expected, tolerance):
        raise _RowsMixError(
            f"rows influence each other: output {spec.name!r} of a batch of {size} is not "
            "what its rows give alone"
        )


def _equal(spec: TensorSpec, given: Tensor, expected: Tensor, tolerance: float) -> bool:
    if spec.datatype == "BF16":
        given, expected = from_bfloat16(given), from_bfloat16(expected)
    if given.dtype.kind != "f":
        return bool(np.array_equal(given, expected))
    if not tolerance:
        return bool(np.array_equal(given, expected, equal_nan=True))
    limits = tolerance * np.maximum(1, np.abs(expected))
    with np.errstate(invalid="ignore"):  # inf - inf; equal ones are the first alternative
        near = (given == expected) | (np.abs(given - expected) <= limits)
    return bool(np.all(near | (np.isnan(given) & np.isnan(expected))))


def _time(run: Run, feeds: Mapping[str, Tensor]) -> float:
    """The shortest of at least two runs: other work on the machine only ever adds."""
    taken: list[float] = []
    while len(taken) < 2 or (sum(taken) < _TIMED and len(taken) < _TURNS):
        start = time.perf_counter()
        run(feeds)
        taken.append(time.perf_counter() - start)
    return min(taken)


def _random(spec: TensorSpec, shapes: Shapes, random: np.random.Generator) -> Tensor:
    """Distinct rows, small enough to be indices of any table: 0 or 1, or from 0 to 1."""
    shape = spec.sized(_DISTINCT, shapes.get(spec.name, ()))
    if spec.datatype == "BYTES":
        return random.choice(["a", "b", "c", "d"], shape).astype(np.object_)
    if spec.datatype == "BF16":
        return to_bfloat16(random.random(shape, dtype=np.float32))
    if np.dtype(spec.dtype).kind == "f":
        return random.random(shape).astype(spec.dtype)
    return random.integers(0, 2, shape).astype(spec.dtype)
