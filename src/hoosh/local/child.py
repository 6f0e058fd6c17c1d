"""One engine process, from its start to its end: its pipes, its log, what it died of.

Law: it gets its settings by its standard input, and no more of the environment than an engine needs: never a
provider's key. Its log goes to `logging`, and the last lines of it are kept.
"""

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections import deque
from collections.abc import Sequence
from types import MappingProxyType

import msgspec

from hoosh.local.llama_child import Launch, Ready

PASSED_ON = re.compile(
    r"(PATH|HOME|LANG|LC_\w+|TMPDIR|SYSTEMROOT|(LD|DYLD)_LIBRARY_PATH|VIRTUAL_ENV|(PYTHON|OMP_|GOMP_|GGML_|CUDA_|HIP_|ROCR_)\w*)"
)
# For how many turns a thread waits for the others before it sleeps. With the default (300,000) two cores that have
# other work, the gateway's own say, mostly wait: SmolLM2-135M then made as little as 1 token a second, with 1,000
# never less than 19, and on idle cores as many as ever, about 85 (2026-11-23).
DEFAULTS = MappingProxyType({"GOMP_SPINCOUNT": "1000"})
LOG_LINES = 50
LOG_LINE_BYTES = 500
MESSAGE_LINES = 10
CHUNK_BYTES = 1 << 16
# From the end of its input to SIGTERM, and from there to SIGKILL. While it loads, it hears neither but the latter two.
END_S = 2.0

log = logging.getLogger(__name__)


class Child:
    """`base_url` is set by `hello`. `gone` is set by whoever has drawn the consequences of its death."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.base_url = ""
        self.gone = asyncio.Event()
        self._process = process
        self._tail: deque[str] = deque(maxlen=LOG_LINES)
        self._relay = asyncio.create_task(self._relay_log())

    @classmethod
    async def spawn(cls, command: Sequence[str]) -> "Child":
        """Raises: OSError."""
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=DEFAULTS | {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)},
                # Ctrl-C at a terminal goes to a whole group; the gateway first lets its calls come to their end.
                start_new_session=True,
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def hello(self, launch: Launch) -> bool:
        """Tell it what to do and wait until the model is loaded. False: it died, or speaks otherwise than agreed."""
        if not (self._process.stdin and self._process.stdout):
            return False
        with contextlib.suppress(OSError):
            self._process.stdin.write(msgspec.json.encode(launch) + b"\n")
            await self._process.stdin.drain()
        try:
            self.base_url = msgspec.json.decode(await self._process.stdout.readline(), type=Ready).base_url
        except (msgspec.DecodeError, ValueError):
            return False
        return True

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> None:
        """Wait for its end and for the last of its log."""
        await self._process.wait()
        await asyncio.wait([self._relay])
        if self._process.stdin:
            self._process.stdin.close()

    async def end(self) -> None:
        """Let it end; make it end if it does not."""
        if self._process.stdin:
            self._process.stdin.close()
        for blow in (signal.SIGTERM, signal.SIGKILL):
            try:
                async with asyncio.timeout(END_S):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(blow)
        await self._process.wait()

    def last_words(self) -> str:
        """What it ended with and the last distinct lines of its log."""
        code = self._process.returncode
        if code is None:
            end = "it is running"
        elif code < 0:
            end = f"it died of {signal.Signals(-code).name}"
        else:
            end = f"it ended with exit code {code}"
        return "; ".join((end, *list(dict.fromkeys(self._tail))[-MESSAGE_LINES:]))

    async def _relay_log(self) -> None:
        if not self._process.stderr:
            return
        rest = b""
        while data := await self._process.stderr.read(CHUNK_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._note(line)
            rest = rest[:LOG_LINE_BYTES]
        self._note(rest)

    def _note(self, line: bytes) -> None:
        # llama.cpp begins lines with the time since its start, which would make no two alike.
        text = re.sub(r"^[\d.]+ ", "", line[:LOG_LINE_BYTES].decode(errors="replace")).strip()
        if text:
            self._tail.append(text)
            log.debug("%s", text)
