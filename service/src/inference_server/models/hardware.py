"""Where and how sessions run: execution providers with their settings, and the GPU's name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnxruntime as ort

from inference_server.models.config import ModelConfig

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

_NAMES = {"tensorrt": TENSORRT, "cuda": CUDA, "cpu": CPU}
_DRIVER = Path("/proc/driver/nvidia")

Providers = list[tuple[str, dict[str, str]]]


@dataclass(frozen=True)
class Hardware:
    """What the deployment gives to models; sizes in bytes.

    Without a number of `intra_op_threads` a model takes one or `cpus`, whichever is faster.
    """

    require_gpu: bool = False
    intra_op_threads: int | None = None
    cpus: int = 1
    gpu_memory_bytes: int | None = None
    tensorrt: bool = False
    engine_cache: Path | None = None

    def demands_gpu(self, config: ModelConfig) -> bool:
        """Whether running on the CPU would be wrong, by deployment or by the model's config."""
        return self.require_gpu or (config.providers is not None and "cpu" not in config.providers)


def choose_providers(config: ModelConfig, hardware: Hardware, sha256: str) -> Providers:
    """The providers to ask for, the best first; which one is taken only the session knows."""
    wanted = config.providers or (("tensorrt",) if hardware.tensorrt else ()) + ("cuda", "cpu")
    available = set(ort.get_available_providers())
    names = [_NAMES[each] for each in wanted if _NAMES[each] in available]
    if set(names) & {CUDA, TENSORRT}:
        _preload_libraries()
    options = {
        CPU: {},
        CUDA: _cuda(config, hardware),
        TENSORRT: _tensorrt(config, hardware, sha256),
    }
    return [(name, options[name]) for name in names] or [(CPU, {})]


@cache
def _preload_libraries() -> None:
    """CUDA from Python packages is found only if this runs before the first session."""
    ort.preload_dlls()


def _cuda(config: ModelConfig, hardware: Hardware) -> dict[str, str]:
    options = {
        "device_id": "0",
        "cudnn_conv_algo_search": config.gpu.conv_search,
        "arena_extend_strategy": "kSameAsRequested",
    }
    if limit := config.gpu.mem_limit or hardware.gpu_memory_bytes:
        options["gpu_mem_limit"] = str(limit)
    return options


def _tensorrt(config: ModelConfig, hardware: Hardware, sha256: str) -> dict[str, str]:
    options = {"device_id": "0", "trt_fp16_enable": str(config.gpu.tensorrt_fp16)}
    if config.gpu.tensorrt_workspace:
        options["trt_max_workspace_size"] = str(config.gpu.tensorrt_workspace)
    if hardware.engine_cache is not None:
        folder = hardware.engine_cache / f"{gpu_name()}-ort{ort.__version__}"
        engines = folder / sha256
        engines.mkdir(parents=True, exist_ok=True)
        options |= {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(engines),
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": str(folder),
        }
    return options


def gpu_name(driver: Path = _DRIVER) -> str:
    """GPU model and driver version, fit for a folder's name: engines fit only these."""
    words = [_field(path, "Model") for path in sorted(driver.glob("gpus/*/information"))[:1]]
    try:
        release = (driver / "version").read_text().split("Kernel Module", 1)[1].split()
        words.append(next(word for word in release if word[:1].isdigit()))
    except (OSError, IndexError, StopIteration):
        words.append("unknown")
    return "-".join("".join(c if c.isalnum() or c == "." else "_" for c in each) for each in words)


def _field(path: Path, key: str) -> str:
    lines: Mapping[str, str] = dict(
        line.split(":", 1) for line in path.read_text().splitlines() if ":" in line
    )
    return lines.get(key, "gpu").strip()
