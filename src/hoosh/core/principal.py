"""Who is asking."""

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """`key_id` names the key and never reveals it; "anonymous" when no keys are configured."""

    key_id: str = "anonymous"
    pool: str = "default"


ANONYMOUS = Principal()
