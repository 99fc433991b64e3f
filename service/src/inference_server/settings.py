"""Settings of the server: each a command option, an environment variable, a line of a file."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class InvalidSettingsError(Exception):
    """A setting that cannot be used; the message names it."""


LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]


# fmt: off
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
]
# fmt: on
Algorithms = Annotated[
    tuple[Algorithm, ...],
    NoDecode,
    BeforeValidator(
        lambda value: tuple(value.replace(",", " ").split()) if isinstance(value, str) else value
    ),
]

ModelNames = Annotated[
    frozenset[str],
    NoDecode,
    BeforeValidator(
        lambda value: (
            frozenset(value.replace(",", " ").split()) if isinstance(value, str) else value
        )
    ),
]


class Settings(BaseSettings):
    """What a deployment may choose; `PORT=80` and `--port 80` say the same."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    model_repository: Path = Field(
        Path("/models"), description="folder of <model>/<version>/model.onnx"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    grpc_port: int | None = Field(
        None, ge=1, le=65535, description="port of the gRPC front end (default: none)"
    )
    workers: int = Field(1, ge=1, le=64, description="server processes")
    settings_file: Path | None = Field(
        None, description="settings in TOML or YAML, by their names in lower case"
    )
    state_folder: Path | None = Field(
        None,
        description="folder that outlives a crash: which models ran, and which are quarantined",
    )
    log_level: LogLevel = Field("info", description="debug, info, warning or error")
    log_sample_rate: float = Field(
        0.01,
        ge=0,
        le=1,
        description="part of the requests that is logged; server errors always are",
    )
    trace_sample_rate: float = Field(
        0.01, ge=0, le=1, description="part of the requests without a traceparent that is traced"
    )
    prediction_log_sample_rate: float = Field(
        0, ge=0, le=1, description="part of the predictions that is kept for drift work"
    )
    prediction_log_dir: Path | None = Field(
        None, description="folder for kept predictions, JSON lines in rotated files"
    )
    prediction_log_postgres_url: SecretStr | None = Field(
        None, description="PostgreSQL for kept predictions, instead of the folder"
    )
    prediction_log_file_bytes: int = Field(
        64 * 2**20, ge=1024, description="size at which a file of kept predictions is rotated"
    )
    prediction_log_file_seconds: float = Field(
        3600, ge=1, description="age at which a file of kept predictions is rotated"
    )
    prediction_log_total_bytes: int = Field(
        2**30, ge=1024, description="size of the folder; the oldest files are removed beyond it"
    )
    require_gpu: bool = Field(False, description="never be ready with a model on the CPU")
    drain_seconds: float = Field(
        5, ge=0, le=600, description="time to go on serving, not ready, after SIGTERM"
    )
    shutdown_seconds: int = Field(
        30, ge=1, le=600, description="time for requests in flight after the drain"
    )
    max_body_bytes: int = Field(16 * 2**20, ge=1, description="largest request body")
    max_header_bytes: int = Field(
        32 * 2**10, ge=1024, le=2**20, description="largest head of a request, all headers together"
    )
    max_connections: int = Field(
        4096, ge=1, description="open connections; beyond it the one that is idle longest is closed"
    )
    request_seconds: int = Field(
        60, ge=1, le=3600, description="time for a request to arrive, and for an answer to be read"
    )
    idle_seconds: int = Field(
        3660,
        ge=1,
        description="time without a request; longer than a proxy's, which then closes first",
    )
    deadline_ms: int = Field(
        30_000,
        ge=1,
        le=3_600_000,
        description="time for an answer where the client gives less or none",
    )
    inference_threads: int = Field(1, ge=1, le=64, description="inferences that run at once")
    max_queue: int = Field(
        256, ge=1, le=65536, description="requests that wait for one model; beyond it 429"
    )
    inline_ms: float = Field(
        1, ge=0, le=10, description="models whose largest batch is faster run in the event loop"
    )
    hang_seconds: float = Field(
        30, gt=0, le=3600, description="a run that takes longer makes its model not ready"
    )
    intra_op_threads: int | None = Field(
        None,
        ge=1,
        le=256,
        description="threads inside one inference (default: one or the CPU quota, as is faster)",
    )
    api_key_hashes_file: Path | None = Field(
        None, description="file of client:sha256 lines, or a folder with one file per client"
    )
    jwt_jwks: str | None = Field(
        None, description="keys that sign tokens (JWKS): a file, or a URL (https)"
    )
    jwt_secret_file: Path | None = Field(
        None, description="file with the secret of tokens signed by HS256, 32 bytes or more"
    )
    jwt_algorithms: Algorithms = Field(
        ("RS256", "ES256"), description="algorithms a token may be signed by, with commas between"
    )
    jwt_issuer: str | None = Field(None, description="what a token's iss has to be")
    jwt_audience: str | None = Field(None, description="what a token's aud has to contain")
    jwt_scope_claim: str = Field(
        "scope", min_length=1, description="claim with the scopes: scope, scp or roles, say"
    )
    jwt_client_claim: str = Field(
        "sub", min_length=1, description="claim that names the client: sub or client_id, say"
    )
    jwt_models_claim: str | None = Field(
        None, description="claim with the models a client may use (default: every model)"
    )
    jwt_leeway_seconds: int = Field(
        10, ge=0, le=300, description="how far clocks may differ for exp and nbf"
    )
    metrics_auth: bool = Field(False, description="ask for the scope metrics at /metrics")
    rate_limit: int | None = Field(
        None, ge=1, le=10**9, description="requests a minute of each client (default: no limit)"
    )
    rate_limit_burst: int | None = Field(
        None, ge=1, le=10**9, description="requests at once (default: those of a minute)"
    )
    rate_limit_redis_url: SecretStr | None = Field(
        None, description="Redis or Valkey that all servers count in (default: each by itself)"
    )
    rate_limit_redis_away: Literal["allow", "refuse"] = Field(
        "allow", description="without that Redis: allow, each server counting for itself, or refuse"
    )
    max_decompression_ratio: int = Field(
        100, ge=1, le=1100, description="how many times its size a compressed body may have"
    )
    max_json_depth: int = Field(
        64, ge=8, le=500, description="how deep the arrays and objects of a body may be nested"
    )
    docs: bool = Field(True, description="serve /docs and /openapi.json")
    hsts_seconds: int = Field(
        0, ge=0, description="max-age of Strict-Transport-Security, where TLS ends in front"
    )
    model_name: str | None = Field(None, description="model that must be served")
    model_version: int | None = Field(None, ge=1, description="its version")
    model_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="its sha256; another one is never ready"
    )
    model_control: Literal["none", "poll", "explicit"] = Field(
        "none", description="load at start, follow the folder, or load by request only"
    )
    poll_seconds: float = Field(
        10, ge=0.1, le=86400, description="time between two looks at the folder, in mode poll"
    )
    preload: ModelNames | None = Field(
        None, description="models that are loaded at start; others when they are asked for"
    )
    model_memory_bytes: int | None = Field(
        None, ge=1, description="memory of all models; the least recently used one leaves"
    )
    model_load_seconds: float = Field(600, gt=0, le=86400, description="longest load of a model")
    default_model: str | None = Field(None, description="model of a request that names none")
    gpu_memory_bytes: int | None = Field(
        None, ge=2**20, description="GPU memory arena of each model"
    )
    tensorrt: bool = Field(False, description="run models by TensorRT where it is there")
    engine_cache: Path | None = Field(
        None, description="folder that keeps TensorRT's engines, by GPU and version"
    )

    @field_validator("prediction_log_dir")
    @classmethod
    def _can_be_written(cls, value: Path | None) -> Path | None:
        if value is not None and not (value.is_dir() and os.access(value, os.W_OK | os.X_OK)):
            raise ValueError(f"{value} is no folder that can be written")
        return value

    @model_validator(mode="after")
    def _kept_predictions_have_one_place(self) -> Self:
        places = (self.prediction_log_dir, self.prediction_log_postgres_url)
        if self.prediction_log_sample_rate and sum(place is not None for place in places) != 1:
            raise ValueError(
                "PREDICTION_LOG_SAMPLE_RATE needs one of PREDICTION_LOG_DIR and "
                "PREDICTION_LOG_POSTGRES_URL"
            )
        return self

    @field_validator("model_repository")
    @classmethod
    def _is_a_folder(cls, value: Path) -> Path:
        if not value.is_dir():
            raise ValueError(f"{value} is no folder")
        return value

    @field_validator("api_key_hashes_file", "jwt_secret_file")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.exists():
            raise ValueError(f"{value} does not exist")
        return value

    @field_validator("rate_limit_redis_url")
    @classmethod
    def _is_of_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("a URL redis://, rediss:// or unix://")
        return value

    @model_validator(mode="after")
    def _credentials_are_checked(self) -> Self:
        symmetric = {name for name in self.jwt_algorithms if name.startswith("HS")}
        sources = (
            ("JWT_SECRET_FILE", self.jwt_secret_file, symmetric, "an HS algorithm"),
            ("JWT_JWKS", self.jwt_jwks, set(self.jwt_algorithms) - symmetric, "one other than HS"),
        )
        for name, source, algorithms, missing in sources:
            if source is not None and not (self.jwt_issuer and self.jwt_audience):
                raise ValueError(f"{name} needs JWT_ISSUER and JWT_AUDIENCE")
            if source is not None and not algorithms:
                raise ValueError(f"{name} needs {missing} in JWT_ALGORITHMS")
        if self.jwt_secret_file is None and symmetric:
            raise ValueError("an HS algorithm in JWT_ALGORITHMS needs JWT_SECRET_FILE")
        if self.metrics_auth and not (
            self.api_key_hashes_file or self.jwt_jwks or self.jwt_secret_file
        ):
            raise ValueError("METRICS_AUTH needs API_KEY_HASHES_FILE, JWT_JWKS or JWT_SECRET_FILE")
        return self

    @model_validator(mode="after")
    def _one_process_is_told_what_to_load(self) -> Self:
        if self.model_control == "explicit" and self.workers > 1:
            raise ValueError(
                "MODEL_CONTROL=explicit needs WORKERS=1: a request reaches one worker only"
            )
        return self

    @model_validator(mode="after")
    def _expectation_is_whole(self) -> Self:
        expected = (self.model_name, self.model_version, self.model_sha256)
        if any(part is None for part in expected) and any(part is not None for part in expected):
            raise ValueError("MODEL_NAME, MODEL_VERSION and MODEL_SHA256 go together")
        return self
