"""Models run in sequence as one: tensors of a step feed the steps after it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from inference_server.models.config import Ensemble, Step
from inference_server.models.contract import ModelContract
from inference_server.models.failures import ModelLoadError
from inference_server.models.model import Model, ModelFile
from inference_server.models.signature import Tensor, TensorSpec


class EnsembleModel(Model):
    """A model whose run is a run of each member; batches are joined if every member allows it."""

    def __init__(self, file: ModelFile, plan: Ensemble, members: Sequence[Model]) -> None:
        """`members` are the models of the plan's steps; raises ModelLoadError (`config`)."""
        self._steps = tuple(zip(plan.steps, members, strict=True))
        self.name = file.name
        self.version = file.version
        self.config = file.config
        self.sha256 = _digest(plan, members)
        slowest = next((each for each in members if each.device == "cpu"), members[0])
        self.provider, self.device = slowest.provider, slowest.device
        self.inputs, produced = self._wire()
        self.outputs = _answer(plan, produced)
        self.contract = _contract(plan, members, set(self.outputs))
        self.seconds = _add_up(members, file.config.max_batch_size)
        self.batchable = all(each.batchable for each in members) and bool(self.seconds)
        if not self.batchable:
            self.seconds = {1: sum(min(each.seconds.values()) for each in members)}
        self.buckets = tuple(self.seconds)
        self.max_batch_size = self.buckets[-1]

    def _wire(self) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
        """What the ensemble takes, and what its steps produce."""
        inputs: dict[str, TensorSpec] = {}
        produced: dict[str, TensorSpec] = {}
        for step, member in self._steps:
            if set(step.inputs) != set(member.inputs):
                raise _wrong(step, f"takes {sorted(member.inputs)}, not {sorted(step.inputs)}")
            if unknown := sorted(set(step.outputs) - set(member.outputs)):
                raise _wrong(step, f"has no output {unknown[0]!r}")
            for name, tensor in step.inputs.items():
                spec = replace(member.inputs[name], name=tensor)
                source = produced.get(tensor) or inputs.setdefault(tensor, spec)
                if not _fit(source, spec):
                    raise _wrong(step, f"input {name!r} does not fit tensor {tensor!r}")
            for name, tensor in step.outputs.items():
                if tensor in produced or tensor in inputs:
                    raise _wrong(step, f"tensor {tensor!r} is there already")
                produced[tensor] = replace(member.outputs[name], name=tensor)
        return inputs, produced

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All outputs for validated inputs; raises InferenceError."""
        tensors = dict(feeds)
        for step, member in self._steps:
            results = member.run({name: tensors[key] for name, key in step.inputs.items()})
            tensors.update((key, results[name]) for name, key in step.outputs.items())
        return {name: tensors[name] for name in self.outputs}


def _fit(source: TensorSpec, spec: TensorSpec) -> bool:
    return (
        source.datatype == spec.datatype
        and len(source.shape) == len(spec.shape)
        and all(
            a == b or not isinstance(a, int) or not isinstance(b, int)
            for a, b in zip(source.shape, spec.shape, strict=True)
        )
    )


def _answer(plan: Ensemble, produced: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    names = plan.outputs or tuple(plan.steps[-1].outputs.values())
    if unknown := [name for name in names if name not in produced]:
        raise ModelLoadError("config", f"ensemble.outputs: no step produces {unknown[0]!r}")
    return {name: produced[name] for name in names}


def _contract(plan: Ensemble, members: Sequence[Model], outputs: set[str]) -> ModelContract:
    """The last member's, by the ensemble's names; the columns are the first member's."""
    last, renamed = members[-1].contract, plan.steps[-1].outputs

    def name(output: str | None) -> str | None:
        tensor = renamed.get(output) if output is not None else None
        return tensor if tensor in outputs else None

    return replace(
        last,
        feature_names=members[0].contract.feature_names,
        class_output=name(last.class_output),
        score_output=name(last.score_output),
        output_ranges={
            tensor: bounds
            for output, bounds in last.output_ranges.items()
            if (tensor := name(output)) is not None
        },
    )


def _add_up(members: Sequence[Model], largest: int | None) -> dict[int, float]:
    """Seconds of a run by its rows, for the sizes that every member has run."""
    shared = set.intersection(*(set(each.seconds) for each in members))
    limit = min(*(each.max_batch_size for each in members), largest or max(shared, default=1))
    sizes = sorted(rows for rows in shared if rows <= limit)
    return {rows: sum(each.seconds[rows] for each in members) for rows in sizes}


def _digest(plan: Ensemble, members: Sequence[Model]) -> str:
    content = "\n".join((plan.model_dump_json(), *(each.sha256 for each in members)))
    return hashlib.sha256(content.encode()).hexdigest()


def _wrong(step: Step, text: str) -> ModelLoadError:
    return ModelLoadError("config", f"ensemble: {step.model} {text}")
