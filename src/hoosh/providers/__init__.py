"""Providers as data: one file, one `Provider(...)` literal. Adding one is that file and one line in registry.py."""

import msgspec

from hoosh.dialects import ListingDialect, Tongue, Ways
from hoosh.providers.auth import Sign, bearer


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the config's `type`, `env` the variables that may hold its key (first one set wins).

    `base_url` is "" where only a configuration can tell it. `local`: no data leaves the machine at the default address.
    `aliases` are other names for the type; `serves` globs of the models known to be this vendor's, for as long as
    it has not been asked for its list. `host_env` may name the server's address (OLLAMA_HOST), `signature` is in the
    model list of this kind of server and of no other that shares its port.
    `also` are further dialects that it speaks, for other operations or for clients of the same dialect.
    `docs` is what this file was written from, with the date in the file's docstring.
    """

    name: str
    title: str
    dialect: ListingDialect
    base_url: str
    docs: str
    sign: Sign = bearer
    env: tuple[str, ...] = ()
    ways: Ways = Ways()
    also: tuple[Tongue, ...] = ()
    local: bool = False
    needs_key: bool = True
    aliases: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    host_env: str = ""
    signature: bytes = b""
