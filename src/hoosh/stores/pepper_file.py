"""The peppers of this machine: those of the configuration, then those of one file beside the store.

The file is made with the first key, is its owner's only, and has one pepper a line, newest first, in hex. Who wants a
new one puts a line on top and rotates the keys; a line that no key needs any more may go.
"""

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from hoosh.core.errors import StoreFailed
from hoosh.policy.secret_keys import pepper_id

PEPPER_BYTES = 32


class PepperFile:
    """ports.Peppers."""

    def __init__(self, path: Path, configured: Sequence[bytes]) -> None:
        self._path = path
        self._configured = tuple(configured)

    async def known(self) -> Mapping[str, bytes]:
        peppers = (*self._configured, *await asyncio.to_thread(self._read))
        return {pepper_id(pepper): pepper for pepper in peppers}

    async def newest(self) -> bytes:
        return self._configured[0] if self._configured else await asyncio.to_thread(self._first)

    def _first(self) -> bytes:
        found = self._read()
        if not found:
            self._make()
            found = self._read()
        return found[0]

    def _read(self) -> list[bytes]:
        try:
            if os.name == "posix" and self._path.stat().st_mode & 0o077:
                raise self._failed("may be read by others; chmod 600 it")
            lines = self._path.read_text(encoding="ascii").split()
            peppers = [bytes.fromhex(line) for line in lines]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed(f"cannot be read: {error.strerror}") from error
        except ValueError:
            raise self._failed("is not lines of hex digits") from None
        if not peppers or min(map(len, peppers)) < PEPPER_BYTES:
            raise self._failed(f"is not lines of {2 * PEPPER_BYTES} hex digits")
        return peppers

    def _make(self) -> None:
        """Whole or not at all; of two processes that make it at once, one does."""
        draft = self._path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123 - the mode
                file.write(secrets.token_hex(PEPPER_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, self._path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        except OSError as error:
            raise self._failed(f"cannot be written: {error.strerror}") from error

    def _failed(self, what: str) -> StoreFailed:
        return StoreFailed(f"the peppers of keys, {self._path}: the file {what}", code="pepper_failed")
