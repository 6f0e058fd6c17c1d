"""Commands that can ask a running gateway."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from hoosh.client.sync import HooshClient


@Parameter(name="*")
@dataclass(frozen=True)
class Remote:
    """Where a running gateway is, for commands that can ask one."""

    server: Annotated[str | None, Parameter(help="A running gateway, as http://127.0.0.1:8088 (or $HOOSH_URL).")] = None
    key: Annotated[str | None, Parameter(help="API key for --server (or $HOOSH_API_KEY).")] = None

    def client(self) -> "HooshClient | None":
        """None where neither the option nor the environment names a gateway."""
        if not (self.server or os.environ.get("HOOSH_URL")):
            return None
        from hoosh.client.sync import HooshClient  # noqa: PLC0415

        return HooshClient(self.server, self.key, max_retries=0)


HERE = Remote()
