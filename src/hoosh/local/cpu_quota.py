"""How many threads may compute at once here.

Law: the least of what the scheduler allows (affinity) and what the control groups grant (quota): an engine with more
threads than that spends its time waiting for its own.
Sources: Linux's Documentation/admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst (read 2026-11-23).
"""

import os
from collections.abc import Iterator
from pathlib import Path


def usable_cpus(root: Path = Path("/")) -> int:
    """At least 1. `root` is where proc and sys are mounted."""
    quotas = [int(quota) or 1 for quota in _quotas(root)]
    return min([_affinity(), *quotas])


def _affinity() -> int:
    # Not on macOS nor Windows.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """In CPUs, of this process's control group and of those above it."""
    for line in _words(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            mount = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = root / "sys/fs/cgroup/cpu"
        else:
            continue
        group = mount / path.lstrip("/")
        # In a container the path may be the host's, of which only the mount itself is to be seen.
        for folder in (group, *group.parents):
            quota_us, period_us = "max", "1"
            match _words(folder / "cpu.max"), _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us"):
                case [str(both)], _, _:
                    quota_us, period_us = both.split()
                case _, [str(quota_us)], [str(period_us)]:
                    pass
            if quota_us != "max" and float(quota_us) > 0 < float(period_us):
                yield float(quota_us) / float(period_us)
            if folder == mount:
                break


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
