"""CPU quota as the container sees it."""

import os
from pathlib import Path

import pytest
from inference_server.models.quota import cpu_quota

AVAILABLE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("max 100000", AVAILABLE),
        ("", AVAILABLE),
        ("6400000 100000", AVAILABLE),
    ],
)
def test_version_2(tmp_path: Path, text: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("100000", 1), ("-1", AVAILABLE)])
def test_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cpu_quota(tmp_path) == expected


def test_no_cgroup_means_all_that_the_process_may_use(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) == AVAILABLE
