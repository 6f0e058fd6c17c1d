"""The load test itself: it builds, runs, and every stream of many arrives whole."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("taskset")), reason="needs cc and taskset")
def test_every_stream_of_many_arrives_whole() -> None:
    """64 paced streams over and over, then 1,000 at once."""
    subprocess.run(["make", "bench/mock", "bench/sseload"], cwd=ROOT, check=True)
    options = ["--targets", "direct,hoosh", "--loads", "paced,slow1000", "--rounds", "1", "--seconds", "5"]
    done = subprocess.run([sys.executable, "bench/run.py", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| hoosh |" in done.stdout
