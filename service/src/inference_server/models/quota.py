"""How many CPUs the container may use: ONNX Runtime asks the host, which has more."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cpu_quota(cgroup: Path = _CGROUP) -> int:
    """CPUs by cgroup quota (v2, then v1) and affinity, rounded up, at least 1."""
    available = len(os.sched_getaffinity(0))
    quota = _v2(cgroup) or _v1(cgroup)
    return max(1, min(available, math.ceil(quota)) if quota else available)


def _v2(cgroup: Path) -> float | None:
    words = _read(cgroup / "cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def _v1(cgroup: Path) -> float | None:
    quota = _read(cgroup / "cpu" / "cpu.cfs_quota_us")
    period = _read(cgroup / "cpu" / "cpu.cfs_period_us")
    if not quota or not period or int(quota) <= 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
