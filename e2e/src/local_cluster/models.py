"""Trains the two good models of the example once, and keeps the registry that holds them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local_cluster.cluster import ClusterError

# Version 1 is the stable model that the overlays release, version 2 a good candidate.
NAMES = ("stable", "good")
TRAINING_SECONDS = 300
_RECORD = "models.json"
_TRAINED_BY = ("pipeline/src/model_pipeline", "play/src/release_play", "requirements")


def trained(root: Path) -> Path:
    """Folder with MLflow's database and artifacts, trained where no earlier start has."""
    kept = root / "build" / "models"
    folder = kept / _fingerprint(root)
    if not (folder / _RECORD).is_file():
        kept.mkdir(parents=True, exist_ok=True)
        for old in kept.iterdir():
            shutil.rmtree(old)
        with tempfile.TemporaryDirectory(dir=kept) as work:
            _train(root, Path(work))
            # Two starts at once train twice, and the later result stays.
            shutil.rmtree(folder, ignore_errors=True)
            Path(work, "registry").replace(folder)
    return folder


def sha256_of_stable(folder: Path) -> str:
    """The checksum of version 1 of a folder that `trained` gave."""
    record = json.loads((folder / _RECORD).read_text())
    return str(record[NAMES[0]])


def _fingerprint(root: Path) -> str:
    digest = hashlib.sha256()
    for folder in _TRAINED_BY:
        for path in sorted(Path(root, folder).rglob("*.*")):
            if path.suffix in (".py", ".txt", ".json"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _train(root: Path, work: Path) -> None:
    """In a process of its own, in the repository whose commit the training notes down."""
    try:
        result = subprocess.run(
            [sys.executable, "-m", "local_cluster.models", str(work)],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=TRAINING_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ClusterError(f"models: training took over {TRAINING_SECONDS} s") from None
    if result.returncode:
        end = "\n".join((result.stderr or result.stdout).splitlines()[-8:])
        raise ClusterError(f"models: training failed:\n{end}")


def main() -> None:
    """Train into the folder `registry` below the one that is named."""
    # Imported here: MLflow and scikit-learn take seconds that no other start should pay.
    from release_play.processes import ProcessError, ProcessGroup
    from release_play.registry import start_registry

    work = Path(sys.argv[1])
    folder = work / "registry"
    (work / "logs").mkdir()
    try:
        with ProcessGroup(work / "logs") as group:
            registry = start_registry(group, folder)
            registry.wait()
            record = {name: registry.train(name)[0].sha256 for name in NAMES}
    except ProcessError as error:
        sys.exit(str(error))
    (folder / _RECORD).write_text(json.dumps(record))


if __name__ == "__main__":
    main()
