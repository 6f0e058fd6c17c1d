"""Records that outlive their process, in order, once, and never half."""

from pathlib import Path

import pytest

from hoosh.core.errors import StoreFailed
from hoosh.stores.spool import SEGMENT_BYTES, SpoolFile, left_behind


def left(directory: Path) -> list[bytes]:
    return [record for journal in left_behind(directory) for record in journal.records()]


def test_a_living_spool_is_nobody_elses(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, "g1")
    spool.put(b"one")
    assert left(tmp_path) == []
    spool.close(keep=True)
    assert left(tmp_path) == [b"one"]


def test_what_was_put_is_there_in_order_over_segments(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, "g1")
    records = [b"%d" % n * 1000 for n in range(900)]
    for record in records:
        spool.put(record)
    spool.close(keep=True)
    (journal,) = left_behind(tmp_path)
    assert list(journal.records()) == records
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_was_forgotten_is_gone_and_its_room_is_used_again(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, "g1")
    for n in range(9000):
        spool.put(b"%d" % n * 200)
        if n % 100 == 99:
            spool.forget(spool.mark())
    spool.put(b"last")
    assert len(list(tmp_path.glob("g1.0*"))) == 1
    spool.close(keep=True)
    assert left(tmp_path) == [b"last"]


def test_only_what_came_before_a_mark_is_forgotten(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, "g1")
    big = b"x" * (SEGMENT_BYTES // 3)
    for _ in range(5):
        spool.put(big)
    mark = spool.mark()
    for n in range(4):
        spool.put(b"%d" % n + big)
    spool.forget(mark)
    spool.close(keep=True)
    assert [record[:1] for record in left(tmp_path) if record != big] == [b"0", b"1", b"2", b"3"]


def test_a_record_that_was_cut_short_ends_what_is_read(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, "g1")
    for name in (b"one", b"two", b"three"):
        spool.put(name)
    spool.close(keep=True)
    (path,) = tmp_path.glob("g1.0*")
    data = bytearray(path.read_bytes())
    data[data.index(b"two")] = 0
    path.write_bytes(bytes(data))
    assert left(tmp_path) == [b"one"]


def test_a_record_that_no_segment_can_hold_is_refused(tmp_path: Path) -> None:
    spool = SpoolFile(tmp_path, "g1")
    with pytest.raises(StoreFailed, match="too long"):
        spool.put(b"x" * SEGMENT_BYTES)
    spool.close(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailed, match="journal of budgets"):
        SpoolFile(tmp_path / "file" / "journals", "g1").put(b"one")


def test_two_gateways_that_start_at_once_read_a_journal_once(tmp_path: Path) -> None:
    for name in ("g1", "g2"):
        spool = SpoolFile(tmp_path, name)
        spool.put(name.encode())
        spool.close(keep=True)
    one, two = left_behind(tmp_path), left_behind(tmp_path)
    first = next(one)
    assert (first.gateway, list(first.records())) == ("g1", [b"g1"])
    second = next(two)  # the first is taken
    assert (second.gateway, list(second.records())) == ("g2", [b"g2"])
    second.remove()
    assert list(one) == []  # it has gone meanwhile
    first.remove()
    assert list(two) == []
    assert list(tmp_path.iterdir()) == []
