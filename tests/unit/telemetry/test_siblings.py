"""Workers that tell each other what they count: whoever is asked answers for all, and no count ever falls."""

import time
from pathlib import Path

import pytest

from hoosh.telemetry.families import Numbers, merged
from hoosh.telemetry.siblings import FRESH_NS, Siblings


def calls(n: int) -> Numbers:
    return {"hoosh_errors_total": {("chat", "x"): [n]}}


def running(n: int) -> Numbers:
    return {"hoosh_in_flight": {(): [n]}}


def test_each_hears_what_the_others_told(tmp_path: Path) -> None:
    places = [Siblings(tmp_path / "run", index, 3) for index in range(3)]
    assert list(places[0].others()) == []
    for n, place in enumerate(places):
        place.tell(calls(10**n), running(n))
    for n, place in enumerate(places):
        whole = merged((calls(10**n), running(n), *place.others()))
        assert whole == {**calls(111), **running(3)}


def test_who_takes_the_place_of_a_dead_one_counts_on(tmp_path: Path) -> None:
    one, two = Siblings(tmp_path, 0, 2), Siblings(tmp_path, 1, 2)
    one.tell(calls(5), running(4))
    two.tell(calls(7), {})
    heir = Siblings(tmp_path, 0, 2)
    assert heir.inherited() == calls(5)
    heir.tell(merged((heir.inherited(), calls(1))), running(0))
    assert merged((calls(7), *two.others())) == {**calls(13), **running(0)}


def test_what_a_silent_one_says_of_the_present_is_no_longer_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Siblings(tmp_path, 0, 2), Siblings(tmp_path, 1, 2)
    one.tell(calls(5), running(4))
    assert list(two.others()) == [calls(5), running(4)]
    told_ns = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: told_ns + FRESH_NS + 1)
    assert list(two.others()) == [calls(5)]


def test_a_file_that_says_nothing_is_as_none(tmp_path: Path) -> None:
    one, two = Siblings(tmp_path, 0, 2), Siblings(tmp_path, 1, 2)
    for data in (b"", b"\xc1", b"\x81\xa1a\x01"):
        (tmp_path / "0").write_bytes(data)
        assert one.inherited() == {}
        assert list(two.others()) == []


def test_where_nothing_can_be_written_nothing_breaks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_bytes(b"")
    one = Siblings(tmp_path / "file", 0, 2)
    for _ in range(3):
        one.tell(calls(1), {})
    assert len(caplog.records) == 1
    assert list(Siblings(tmp_path / "file", 1, 2).others()) == []
