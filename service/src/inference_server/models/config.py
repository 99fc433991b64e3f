"""`config.yaml` beside a model: how it is batched, scheduled, placed, versioned and routed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

CONFIG_FILE = "config.yaml"
_MAX_BYTES = 256 * 1024
_OF_THE_MODEL = ("version_policy", "default_version", "preload", "route", "ensemble")

Provider = Literal["tensorrt", "cuda", "cpu"]
Version = Annotated[int, Field(ge=1)]


class ConfigError(Exception):
    """A config.yaml that cannot be used; the message names file and key."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class VersionPolicy(_Section):
    """Which versions are served: the newest `latest`, the `specific` ones, or all."""

    latest: int | None = Field(default=None, ge=1)
    specific: Annotated[tuple[Version, ...], BeforeValidator(_listed)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_word(cls, value: Any) -> Any:
        return {} if value == "all" else value

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.latest is not None and self.specific is not None:
            raise ValueError("either latest or specific, not both")
        return self

    def choose(self, versions: list[int]) -> list[int]:
        """The served ones of these versions, ascending."""
        if self.specific is not None:
            return sorted(set(versions) & set(self.specific))
        return sorted(versions)[-self.latest :] if self.latest else sorted(versions)


class Gpu(_Section):
    """Settings of the CUDA and TensorRT providers; sizes in bytes."""

    mem_limit: int | None = Field(default=None, ge=2**20)
    conv_search: Literal["HEURISTIC", "EXHAUSTIVE", "DEFAULT"] = "HEURISTIC"
    io_binding: bool = False
    tensorrt_fp16: bool = False
    tensorrt_workspace: int | None = Field(default=None, ge=2**20)


class Target(_Section):
    """One way of a route: the header values that take it, and its percentage of the others."""

    model: str | None = None
    version: Version | None = None
    values: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    percent: int = Field(default=0, ge=0, le=100)


class Route(_Section):
    """Which model version answers, by a header; without the header the first target does."""

    header: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    targets: Annotated[tuple[Target, ...], BeforeValidator(_listed), Field(min_length=1)]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if (total := sum(target.percent for target in self.targets)) not in (0, 100):
            raise ValueError(f"the percentages add up to {total}, expected 100 or none")
        return self


class Step(_Section):
    """One member of an ensemble; the maps go from its tensors to those of the ensemble."""

    model: str
    version: Version | None = None
    inputs: dict[str, str] = Field(min_length=1)
    outputs: dict[str, str] = Field(min_length=1)


class Ensemble(_Section):
    """Models in sequence; without `outputs` those of the last step are the answer."""

    steps: Annotated[tuple[Step, ...], BeforeValidator(_listed), Field(min_length=1)]
    outputs: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()


class ModelConfig(_Section):
    """All keys of config.yaml; None means the server's setting of that name."""

    max_batch_size: int | None = Field(default=None, ge=1, le=4096)
    batch_delay_ms: float = Field(default=0, ge=0, le=1000)
    batch_buckets: (
        Annotated[
            tuple[Annotated[int, Field(ge=1, le=4096)], ...],
            BeforeValidator(_listed),
            Field(min_length=1, max_length=32),
        ]
        | None
    ) = None
    batch_tolerance: float | None = Field(default=None, ge=0, le=1)
    max_queue: int | None = Field(default=None, ge=1)
    deadline_ms: float | None = Field(default=None, gt=0)
    instances: int | None = Field(default=None, ge=1, le=64)
    intra_op_threads: int | None = Field(default=None, ge=1, le=256)
    priority_levels: int = Field(default=1, ge=1, le=16)
    cache: int = Field(default=0, ge=0)
    preload: bool = True
    version_policy: VersionPolicy = VersionPolicy()
    default_version: Version | None = None
    providers: (
        Annotated[tuple[Provider, ...], BeforeValidator(_listed), Field(min_length=1)] | None
    ) = None
    gpu: Gpu = Gpu()
    arena_shrinkage: bool = False
    warm_up_shapes: dict[
        str, Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_listed)]
    ] = {}
    route: Route | None = None
    ensemble: Ensemble | None = None

    @field_validator("batch_buckets")
    @classmethod
    def _ascend(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return tuple(sorted(set(value))) if value else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.batch_buckets and self.max_batch_size not in (None, self.batch_buckets[-1]):
            raise ValueError("the largest of batch_buckets is not max_batch_size")
        if self.route and self.ensemble:
            raise ValueError("either route or ensemble, not both")
        return self


def read_config(folder: Path, inherited: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The keys of a folder's config.yaml over those `inherited`; raises ConfigError."""
    path = folder / CONFIG_FILE
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return dict(inherited or {})
    except OSError as error:
        raise ConfigError(f"{_name(path)}: {error.strerror}") from None
    if len(text) > _MAX_BYTES:
        raise ConfigError(f"{_name(path)}: larger than {_MAX_BYTES} bytes")
    keys = _parse(path, text)
    if inherited is not None and (wrong := [key for key in _OF_THE_MODEL if key in keys]):
        raise ConfigError(f"{_name(path)}: {wrong[0]}: belongs in the model's folder")
    make_config(path, keys)  # said of the file that is wrong, not of the two together
    return {**(inherited or {}), **keys}


def make_config(path: Path, keys: Mapping[str, Any]) -> ModelConfig:
    """The config of these keys; raises ConfigError that names file and key."""
    try:
        return ModelConfig.model_validate(dict(keys))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the keys together"
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{_name(path)}: {where[:128]}: {reason[:200]}") from None


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        keys = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{_name(path)}: no YAML: {reason}") from None
    if keys is None:
        return {}
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys):
        raise ConfigError(f"{_name(path)}: expected keys with values")
    return keys


class _Loader(yaml.SafeLoader):
    """Refuses what plain YAML lets pass: a key given twice, and aliases that multiply."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise yaml.YAMLError(f"key {twice[0]!r} is given twice")
        return super().construct_mapping(node, deep)


def _name(path: Path) -> str:
    """`model/config.yaml` or `model/version/config.yaml`."""
    parent = path.parent
    return "/".join(
        (*((parent.parent.name,) if parent.name.isdigit() else ()), parent.name, path.name)
    )
