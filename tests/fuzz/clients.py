"""Every dialect that a client may speak, by name."""

from hoosh.dialects import ClientDialect, openai_chat

CLIENTS: dict[str, ClientDialect] = {dialect.name: dialect for dialect in (openai_chat.DIALECT,)}
