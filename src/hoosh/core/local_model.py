"""A model whose weights lie on this machine, for the pages that tell of such."""

import msgspec


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """`is_running`: the engine has it in memory now. `modified_s` is Unix time. Of
    weights that the user brought neither hash nor licence is known.
    """

    name: str
    size_bytes: int
    modified_s: int
    sha256: str = ""
    licence: str = ""
    description: str = ""
    context_tokens: int = 0
    is_running: bool = False
