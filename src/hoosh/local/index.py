"""Where a wheel lies: asks the package index that the user's pip is configured for.

Law: no index is named here; the user's own configuration is the only source. An index is believed only about where a
file is, never about what is in it. A password in an index's URL goes to that host alone and is never shown.
Source: https://packaging.python.org/en/latest/specifications/simple-repository-api/ (read 2026-11-23).
"""

import base64
import html.parser
import http.client
import importlib.util
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hoosh.local import PullFailed

VARIABLES = ("HOOSH_PACKAGE_INDEX", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
CONFIGURED = ("global.index-url", "install.index-url", "download.index-url")
# What pip falls back to. Asked of pip in its own process: it is slow to import and rearranges what it finds loaded.
PIP_DEFAULT = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
PAGE_LIMIT_BYTES = 32 << 20
SOCKET_S = 60.0
PIP_S = 60.0


class _File(msgspec.Struct, frozen=True):
    filename: str
    url: str


class _Project(msgspec.Struct, frozen=True):
    files: list[_File]


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hrefs += [value for name, value in attrs if tag == "a" and name == "href" and value]


class Web:
    """HTTP as pip would do it here: the user's certificates and proxies, and a password for one host."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        authority = environ.get("PIP_CERT") or environ.get("SSL_CERT_FILE")
        is_folder = authority is not None and Path(authority).is_dir()
        try:
            context = ssl.create_default_context(
                cafile=None if is_folder else authority, capath=authority if is_folder else None
            )
        except OSError as error:
            raise PullFailed(f"cannot read the certificates in {authority}: {error.strerror or error}") from error
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
        self._passwords: dict[str, str] = {}

    def trust(self, url: str) -> str:
        """The URL without its user and password, which are kept for its host."""
        parts = urllib.parse.urlsplit(url)
        user, at, host = parts.netloc.rpartition("@")
        if at:
            self._passwords[host] = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        return parts._replace(netloc=host).geturl()

    def open(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Raises: PullFailed with one line that says which host and why."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise PullFailed(f"{url!r} is neither http nor https")
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310  the scheme was checked
        if password := self._passwords.get(parts.netloc):
            # Unredirected: else it would follow a redirect to another host.
            request.add_unredirected_header("Authorization", f"Basic {password}")
        try:
            reply: http.client.HTTPResponse = self._opener.open(request, timeout=SOCKET_S)
        except urllib.error.HTTPError as error:
            with error:
                raise PullFailed(f"{parts.netloc} answered {error.code} for {parts.path}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise PullFailed(f"cannot reach {parts.netloc}: {reason}") from error
        return reply


def local_wheel(filename: str, environ: Mapping[str, str]) -> Path | None:
    """The wheel, if it lies in a folder of PIP_FIND_LINKS."""
    for place in environ.get("PIP_FIND_LINKS", "").split():
        folder = urllib.request.url2pathname(place.removeprefix("file://")) if place.startswith("file://") else place
        path = Path(folder).expanduser() / filename
        if path.is_file():
            return path
    return None


def wheel_url(distribution: str, filename: str, web: Web, environ: Mapping[str, str]) -> str:
    """Where the index has that very file. Raises: PullFailed."""
    base = web.trust(index_url(environ))
    page_url = f"{base.rstrip('/')}/{distribution}/"
    with web.open(page_url, {"Accept": ACCEPT}) as reply:
        try:
            page = reply.read(PAGE_LIMIT_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise PullFailed(f"{base} broke off: {error!r}") from error
        page_url = reply.url or page_url
        is_json = reply.headers.get_content_type().endswith("+json")
    if len(page) > PAGE_LIMIT_BYTES:
        raise PullFailed(f"the page of {distribution} on {base} is too large")
    for href in _json_links(page, base) if is_json else _html_links(page):
        url = urllib.parse.urldefrag(urllib.parse.urljoin(page_url, href)).url
        if urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2] == filename:
            return url
    raise PullFailed(f"{base} has no {filename}; HOOSH_PACKAGE_INDEX can name another package index")


def _json_links(page: bytes, base: str) -> list[str]:
    try:
        return [file.url for file in msgspec.json.decode(page, type=_Project).files]
    except msgspec.DecodeError as error:
        raise PullFailed(f"{base} does not answer as a package index: {error}") from error


def _html_links(page: bytes) -> list[str]:
    links = _Links()
    links.feed(page.decode(errors="replace"))
    return links.hrefs


def index_url(environ: Mapping[str, str]) -> str:
    """What the environment says, else what pip is configured for, else what pip was built with."""
    for variable in VARIABLES:
        if url := environ.get(variable, "").strip():
            return url
    # "list" and not "get": that one reads a single file of the several that pip goes by.
    for line in _ask_pip(("-m", "pip", "config", "list"), environ).splitlines():
        key, _, value = line.partition("=")
        if key in CONFIGURED:
            return value.strip("'\"")
    if url := _ask_pip(("-c", PIP_DEFAULT), environ):
        return url
    raise PullFailed(
        "no package index is known here: pip is not installed. "
        "Set HOOSH_PACKAGE_INDEX to the URL of a package index (the one that ends in /simple)"
    )


def _ask_pip(arguments: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """What pip prints, or ""."""
    env = dict(environ)
    if importlib.util.find_spec("pip") is None:
        # Virtual environments are often made without pip; most Pythons carry one to install from.
        env["PYTHONPATH"] = os.pathsep.join(map(str, Path(os.__file__).parent.glob("ensurepip/_bundled/pip-*.whl")))
    try:
        answer = subprocess.run(  # noqa: S603  fixed arguments
            (sys.executable, *arguments),
            check=False,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PIP_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else ""
