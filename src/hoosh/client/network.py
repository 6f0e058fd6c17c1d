"""What the core needs of the world. The one implementation awaits, the other blocks inside its coroutines."""

from typing import BinaryIO, Protocol

from hoosh.client.settings import Settings


class Untrusted(OSError):
    """TLS was refused, by us or by the peer: asking again would end the same way."""


class Link(Protocol):
    """One connection."""

    async def send(self, data: bytes) -> None:
        """Raises: OSError."""

    async def receive(self) -> bytes:
        """b"" at the end. Raises: OSError; TimeoutError after too long a silence."""

    def is_idle(self) -> bool:
        """It stands, and nothing has come that nobody asked for."""

    def abort(self) -> None:
        """Close at once, whatever the state."""


class Network(Protocol):
    async def connect(self, settings: Settings) -> Link:
        """Raises: OSError, TimeoutError, Untrusted."""

    async def read(self, file: BinaryIO, size_bytes: int) -> bytes:
        """Raises: OSError."""

    async def sleep(self, seconds: float) -> None: ...
