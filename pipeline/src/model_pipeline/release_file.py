"""`model-release.env`: the file that says which model an environment serves."""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from model_pipeline.errors import PipelineError

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_VERSION = r"[1-9][0-9]{0,17}"
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_URI = re.compile(
    rf"models:/{_NAME}/(?P<registered>{_VERSION})"
    rf"|oci://[^\s:@]+(?::[0-9]+/[^\s:@]+)?:(?P<tag>{_VERSION})(?:@sha256:[0-9a-f]{{64}})?"
    rf"|(?:s3|https|file)://[^\s?#]*/(?P<path>{_VERSION})(?:/[^\s/?#]+)?"
)

# Key to what it must match, and how to say so. The order is the file's.
_KEYS: dict[str, tuple[re.Pattern[str], str]] = {
    "MODEL_NAME": (re.compile(_NAME), "a name of lower-case letters, digits and dashes"),
    "MODEL_VERSION": (re.compile(_VERSION), "an integer version; no alias, stage or latest"),
    "MODEL_URI": (
        _URI,
        "models:/NAME/VERSION, oci://REGISTRY/NAME:VERSION, or s3://, https:// or file:// "
        "with /VERSION or /VERSION/FILE at its end; no alias, stage or latest",
    ),
    "MODEL_SHA256": (re.compile(r"[0-9a-f]{64}"), "a sha256 of 64 lower-case hex digits"),
    "MODEL_RUN_ID": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"), "a run id"),
    "DATASET_VERSION": (
        re.compile(
            r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
            r"-(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]"
        ),
        "a dataset version YYYY-MM-DD-HHMMSS",
    ),
    "TRAINING_GIT_SHA": (re.compile(r"[0-9a-f]{40}"), "a full commit id of 40 hex digits"),
    "EXPECTED_SHIFT": (re.compile(r"true|false"), "true or false"),
    "EXPECTED_SHIFT_REASON": (
        re.compile(rf"[^\s{_CONTROL}](?:[^{_CONTROL}]{{0,198}}[^\s{_CONTROL}])?"),
        "one line of text, 1 to 200 characters",
    ),
}
_OPTIONAL = ("EXPECTED_SHIFT", "EXPECTED_SHIFT_REASON")


class ReleaseFileError(PipelineError):
    """A `model-release.env` that may not be used; the message begins with file and line."""


@dataclass(frozen=True)
class ModelRelease:
    """One model version, as Git pins it. The constructor refuses what a file may not hold."""

    name: str
    version: int
    uri: str
    sha256: str
    run_id: str
    dataset_version: str
    training_git_sha: str
    expected_shift: bool | None = None
    expected_shift_reason: str | None = None

    def __post_init__(self) -> None:
        if parse_env(self.to_env(), "ModelRelease") != self:
            raise ReleaseFileError(f"ModelRelease: a value is not one line of its type: {self}")

    def to_env(self) -> str:
        """The file's text: the contract's keys, in the contract's order."""
        shift = None if self.expected_shift is None else str(self.expected_shift).lower()
        values = (
            self.name,
            str(self.version),
            self.uri,
            self.sha256,
            self.run_id,
            self.dataset_version,
            self.training_git_sha,
            shift,
            self.expected_shift_reason,
        )
        pairs = zip(_KEYS, values, strict=True)
        return "".join(f"{key}={value}\n" for key, value in pairs if value is not None)

    def write(self, path: Path) -> None:
        """Replace `path` in one step: a reader sees the old file or the new one.

        Raises PipelineError where the folder is missing or may not be written.
        """
        try:
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        except OSError as error:
            raise PipelineError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(self.to_env())
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except OSError as error:
            Path(temporary).unlink(missing_ok=True)
            raise PipelineError(f"{path}: cannot be written: {error.strerror}") from None


def check_value(key: str, value: str, where: str) -> None:
    """Raise ReleaseFileError, beginning with `where`, if `key` may not have this value."""
    pattern, wanted = _KEYS[key]
    if not pattern.fullmatch(value):
        raise ReleaseFileError(f"{where}: {key}={value!r}: must be {wanted}")


def parse_env(text: str, source: str = "model-release.env") -> ModelRelease:
    """Read a `model-release.env`; raises ReleaseFileError with `source`, line and remedy."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.startswith("#"):
            continue
        key, value = _read_line(line, f"{source}:{number}")
        if key in values:
            raise ReleaseFileError(
                f"{source}:{number}: {key} stands here again, first in line {lines[key]}: keep one"
            )
        values[key] = value
        lines[key] = number
    _check_complete(values, lines, source)
    _check_uri(values, f"{source}:{lines['MODEL_URI']}")
    return _release(values)


def _read_line(line: str, where: str) -> tuple[str, str]:
    key, equals, value = line.partition("=")
    if not equals:
        raise ReleaseFileError(f"{where}: {line!r} is not KEY=VALUE")
    if key not in _KEYS:
        raise ReleaseFileError(f"{where}: unknown key {key!r}; known are {', '.join(_KEYS)}")
    check_value(key, value, where)
    return key, value


def _check_complete(values: dict[str, str], lines: dict[str, int], source: str) -> None:
    missing = [key for key in _KEYS if key not in values and key not in _OPTIONAL]
    if missing:
        last = max(lines.values(), default=1)
        raise ReleaseFileError(f"{source}:{last}: missing after this line: {', '.join(missing)}")
    given = [key for key in _OPTIONAL if key in values]
    if len(given) == 1:
        raise ReleaseFileError(
            f"{source}:{lines[given[0]]}: {given[0]} stands alone: "
            f"give {' and '.join(_OPTIONAL)}, or neither"
        )


def _check_uri(values: dict[str, str], where: str) -> None:
    match = _URI.fullmatch(values["MODEL_URI"])
    versions = set(match.groups()) - {None} if match else set()
    if versions != {values["MODEL_VERSION"]}:
        raise ReleaseFileError(
            f"{where}: MODEL_URI={values['MODEL_URI']!r} is not of "
            f"MODEL_VERSION={values['MODEL_VERSION']}"
        )
    registered = f"models:/{values['MODEL_NAME']}/{values['MODEL_VERSION']}"
    if values["MODEL_URI"].startswith("models:") and values["MODEL_URI"] != registered:
        raise ReleaseFileError(
            f"{where}: MODEL_URI={values['MODEL_URI']!r} is not of "
            f"MODEL_NAME={values['MODEL_NAME']}: write {registered}"
        )


def _release(values: dict[str, str]) -> ModelRelease:
    # Built without the constructor, which would parse its own text again.
    release = object.__new__(ModelRelease)
    shift = values.get("EXPECTED_SHIFT")
    fields = {
        "name": values["MODEL_NAME"],
        "version": int(values["MODEL_VERSION"]),
        "uri": values["MODEL_URI"],
        "sha256": values["MODEL_SHA256"],
        "run_id": values["MODEL_RUN_ID"],
        "dataset_version": values["DATASET_VERSION"],
        "training_git_sha": values["TRAINING_GIT_SHA"],
        "expected_shift": None if shift is None else shift == "true",
        "expected_shift_reason": values.get("EXPECTED_SHIFT_REASON"),
    }
    for field, value in fields.items():
        object.__setattr__(release, field, value)
    return release
