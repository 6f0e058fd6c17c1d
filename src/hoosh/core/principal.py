"""Who is asking, and what that key may do."""

import msgspec


class KeyLimits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one key may do at once. None: as much as it likes."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


UNLIMITED_KEY = KeyLimits()


class Principal(msgspec.Struct, frozen=True):
    """`key_id` names the key and never reveals it; "anonymous" when no keys are configured."""

    key_id: str = "anonymous"
    pool: str = "default"
    limits: KeyLimits = UNLIMITED_KEY


ANONYMOUS = Principal()
