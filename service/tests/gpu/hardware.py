"""Whether this machine can run the checks on a GPU, and why not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PYTHON = Path(__file__).parents[3] / ".venvs" / "gpu" / "bin" / "python"


def nvidia_smi() -> str:
    """The GPUs that the driver lists, one a line; raises OSError, CalledProcessError."""
    command = ["nvidia-smi", "--list-gpus"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def no_gpu(list_gpus: Callable[[], str] = nvidia_smi) -> str | None:
    """Why there is no GPU to use, or None."""
    try:
        listed = list_gpus()
    except FileNotFoundError:
        return "no NVIDIA driver: nvidia-smi is not installed"
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stdout", "") or str(error)
        return f"nvidia-smi failed: {' '.join(str(detail).split())[:200]}"
    return None if "GPU " in listed else "nvidia-smi lists no GPU"


def cannot_run(python: Path = PYTHON, list_gpus: Callable[[], str] = nvidia_smi) -> str | None:
    """Why the checks cannot run here, or None."""
    if reason := no_gpu(list_gpus):
        return reason
    return None if python.exists() else "run `make gpu-test`: it installs ONNX Runtime for GPUs"


if __name__ == "__main__":
    if reason := no_gpu():
        print(f"gpu-test: skipped: {reason}")
        sys.exit(1)
    print(nvidia_smi(), end="")
