"""Control groups as files: version 2, version 1, nested, in a container."""

import os
from pathlib import Path

import pytest

from hoosh.local.cpu_quota import usable_cpus

FREE = usable_cpus(Path("/nonexistent"))
V1 = "sys/fs/cgroup/cpu"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_control_groups_it_is_what_the_scheduler_allows(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == FREE >= 1
    if hasattr(os, "sched_getaffinity"):
        assert len(os.sched_getaffinity(0)) == FREE


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"},
        {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"},
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n", "sys/fs/cgroup/cpu.max": "1 1\n"},
        {"proc/self/cgroup": "0::/host/only\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"},
        {
            "proc/self/cgroup": "3:memory:/a\n1:cpu,cpuacct:/a\n",
            f"{V1}/a/cpu.cfs_quota_us": "100000\n",
            f"{V1}/a/cpu.cfs_period_us": "100000\n",
        },
    ],
    ids=["v2", "v2 below one CPU, above", "v2 parent", "container", "v1"],
)
def test_one_cpu_is_granted(tmp_path: Path, files: dict[str, str]) -> None:
    assert usable_cpus(tree(tmp_path, files)) == 1


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"},
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/b/cpu.max": "100000 100000\n"},
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "99900000 100000\n"},
        {
            "proc/self/cgroup": "1:cpu:/\n",
            f"{V1}/cpu.cfs_quota_us": "-1\n",
            f"{V1}/cpu.cfs_period_us": "100000\n",
        },
    ],
    ids=["v2 max", "another group", "more than there are", "v1 none"],
)
def test_no_limit_is_no_limit(tmp_path: Path, files: dict[str, str]) -> None:
    assert usable_cpus(tree(tmp_path, files)) == FREE
