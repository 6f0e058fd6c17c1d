"""Who is asking, and what that key may do."""

import msgspec


class KeyLimits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one key may do at once. None: as much as it likes."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


UNLIMITED_KEY = KeyLimits()


class KeyBudget(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one key may use in all, or in each `period`; "none" is once and for all. None: no bound of this kind."""

    capacity_tokens: int | None = None
    capacity_usd_micros: int | None = None
    period: str = "none"


class Principal(msgspec.Struct, frozen=True):
    """`key_id` names the key and never reveals it; "anonymous" when no keys are configured.

    `models`, `pools` and `routes` are globs (policy.scopes says how they are read): empty means all models, no pool
    but `pool`, all routes. `agents` are the names that the key may go by. It is over at `expires_s`, Unix time.
    """

    key_id: str = "anonymous"
    pool: str = "default"
    owner: str = ""
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    is_admin: bool = False
    expires_s: int | None = None
    limits: KeyLimits = UNLIMITED_KEY
    budget: KeyBudget | None = None


ANONYMOUS = Principal(pools=("*",))
# No model has this name, nor any route: who was not asked yet may do nothing.
NOBODY = Principal(key_id="nobody", pool="", models=("",), routes=("",))
