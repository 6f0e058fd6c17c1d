"""Where the gateway is and how to call it: arguments, else the environment, else the defaults."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from hoosh.client.types import TIMEOUTS, Timeouts
from hoosh.core.errors import ConfigError

DEFAULT_URL = "http://127.0.0.1:8088"
DEFAULT_MODEL = "default"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`prefix` goes before each path. `headers` go with every request; their names are lower case."""

    secure: bool
    host: str
    port: int
    prefix: str
    headers: Mapping[str, str]
    model: str
    timeouts: Timeouts
    max_retries: int

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.authority}{self.prefix}"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What both clients are made with."""

    base_url: str | None = None
    api_key: str | None = None
    headers: Mapping[str, str] | None = None
    timeouts: Timeouts = TIMEOUTS
    max_retries: int = 2


def resolve(options: Options, environ: Mapping[str, str]) -> Settings:
    """A base URL may end in "/" or "/v1", as other clients want it. Raises: ConfigError."""
    given = options.base_url or environ.get("HOOSH_URL") or DEFAULT_URL
    try:
        url = urlsplit(given)
        port = url.port
    except ValueError:
        raise ConfigError(f"not an address of a server: {given}") from None
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ConfigError(f"not an address of a server: {given}")
    if url.username is not None or url.password is not None:
        raise ConfigError("the address of a server holds no user and no password; the key goes into api_key")
    headers = {name.lower(): value for name, value in (options.headers or {}).items()}
    key = options.api_key or environ.get("HOOSH_API_KEY")
    if key and not {"authorization", "x-api-key"} & headers.keys():
        headers["authorization"] = f"Bearer {key}"
    secure = url.scheme == "https"
    return Settings(
        secure=secure,
        host=url.hostname,
        port=port if port is not None else 443 if secure else 80,
        prefix=url.path.rstrip("/").removesuffix("/v1"),
        headers=headers,
        model=environ.get("HOOSH_MODEL") or DEFAULT_MODEL,
        timeouts=options.timeouts,
        max_retries=options.max_retries,
    )
