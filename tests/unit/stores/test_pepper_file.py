"""Peppers: made once, kept by their owner, found again by name."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hoosh.core.errors import StoreFailed
from hoosh.policy.secret_keys import pepper_id
from hoosh.stores.pepper_file import PepperFile

MAKER = """
import asyncio, sys
from pathlib import Path
from hoosh.stores.pepper_file import PepperFile
sys.stdout.write(asyncio.run(PepperFile(Path(sys.argv[1]), ()).newest()).hex())
"""


def test_it_is_made_when_it_is_first_wanted_and_then_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "hoosh.pepper"
    peppers = PepperFile(path, ())
    assert asyncio.run(peppers.known()) == {}
    made = asyncio.run(peppers.newest())
    assert len(made) == 32
    assert asyncio.run(PepperFile(path, ()).newest()) == made
    assert asyncio.run(peppers.known()) == {pepper_id(made): made}
    assert [file.name for file in path.parent.iterdir()] == ["hoosh.pepper"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_processes_that_want_the_first_at_once_get_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKER, str(tmp_path / "hoosh.pepper")]
    makers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {maker.communicate(timeout=120)[0] for maker in makers}
    assert len(said) == 1
    assert len(said.pop()) == 64


def test_a_configured_one_comes_first_and_the_files_are_known_too(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.pepper"
    own = asyncio.run(PepperFile(path, ()).newest())
    both = PepperFile(path, (b"n" * 32, b"o" * 32))
    assert asyncio.run(both.newest()) == b"n" * 32
    assert list(asyncio.run(both.known()).values()) == [b"n" * 32, b"o" * 32, own]


def test_a_new_line_on_top_is_for_new_keys(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.pepper"
    old = asyncio.run(PepperFile(path, ()).newest())
    path.write_text("ab" * 32 + "\n" + path.read_text())
    assert asyncio.run(PepperFile(path, ()).newest()) == b"\xab" * 32
    assert list(asyncio.run(PepperFile(path, ()).known()).values()) == [b"\xab" * 32, old]


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31, "ab" * 32 + "\nabc"])
def test_a_file_that_was_spoilt_is_named_and_not_replaced(text: str, tmp_path: Path) -> None:
    path = tmp_path / "hoosh.pepper"
    path.touch(mode=0o600)
    path.write_text(text)
    for work in (PepperFile(path, ()).known, PepperFile(path, ()).newest):
        with pytest.raises(StoreFailed, match=r"hoosh\.pepper") as told:
            asyncio.run(work())
        assert told.value.code == "pepper_failed"
    assert path.read_text() == text


@pytest.mark.skipif(os.name != "posix", reason="such modes are POSIX's")
def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.pepper"
    asyncio.run(PepperFile(path, ()).newest())
    path.chmod(0o640)
    with pytest.raises(StoreFailed, match="chmod 600"):
        asyncio.run(PepperFile(path, ()).newest())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="cannot be"):
        asyncio.run(PepperFile(tmp_path / "file" / "hoosh.pepper", ()).newest())
