"""What comes with hoosh, and what is in it: few dependencies, each pinned by hash, and a wheel that anybody can make again."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN_TIME = 12
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
DATA = re.compile(
    r"hoosh/(py\.typed|providers/prices\.json|stores/redis/ledger\.lua|stores/postgres/migrations/\d{4}_\w+\.sql)"
)


def pins(lock: Path) -> dict[str, str]:
    """Each requirement of a lock with all its lines."""
    text = re.sub(r"^\s*#.*\n", "", lock.read_text("utf-8"), flags=re.MULTILINE)
    entries = [entry.strip() for entry in re.split(r"\n(?=\S)", text) if entry.strip()]
    return {re.split(r"[=<>!~\[ ;@]", entry, maxsplit=1)[0]: entry for entry in entries}


def test_a_dozen_packages_at_run_time_counting_all() -> None:
    names = pins(ROOT / "requirements" / "run.txt").keys()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert {re.split(r"[=<>;]", name)[0] for name in declared} <= names
    assert len(names) <= RUN_TIME, sorted(names)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_of_a_lock_is_one_version_with_hashes(lock: Path) -> None:
    entries = pins(lock)
    assert len(entries) > 3
    for name, entry in entries.items():
        assert re.match(rf"{re.escape(name)}(\[[\w,-]+\])?==[\w.!+-]+ ", entry), entry[:80]
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)) >= 1, name
        assert "://" not in entry, name


def wheel(source: Path, out: Path) -> Path:
    out.mkdir()
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(out)!r}))"
    environ = {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH")}
    subprocess.run([sys.executable, "-c", code], cwd=source, env=environ, check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of two copies of what git has, at other places and with other times."""
    home = tmp_path_factory.mktemp("wheels")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for copy in ("one", "two"):
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(("tests/", "bench/")):
                (home / copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, home / copy / name)
                os.utime(home / copy / name, (1e9, 1e9 if copy == "one" else 1.2e9))
    return wheel(home / "one", home / "out1"), wheel(home / "two", home / "out2")


def test_a_wheel_made_twice_is_the_same_to_the_bit(wheels: tuple[Path, Path]) -> None:
    one, two = (hashlib.sha256(made.read_bytes()).hexdigest() for made in wheels)
    assert wheels[0].name == wheels[1].name
    assert one == two


def test_a_wheel_holds_the_package_and_nothing_that_runs_by_itself(wheels: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(wheels[0]) as archive:
        names = set(archive.namelist())
        meta = next(name for name in names if name.endswith(".dist-info/METADATA"))
        entry_points = archive.read(meta.replace("METADATA", "entry_points.txt")).decode()
    code = {name for name in names if name.startswith("hoosh/")}
    assert [name for name in code if not name.endswith(".py") and not DATA.fullmatch(name)] == []
    assert all(re.fullmatch(r"hoosh-[\w.]+\.dist-info/(licenses/)?[A-Za-z_.]+", name) for name in names - code)
    assert not [name for name in names if name.endswith((".pth", ".so", ".pyc")) or "sitecustomize" in name]
    assert entry_points.split() == ["[console_scripts]", "hoosh", "=", "hoosh.cli:main"]
    here = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "hoosh").rglob("*.py")}
    assert {name for name in code if name.endswith(".py")} <= here
