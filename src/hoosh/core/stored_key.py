"""A key as the store keeps it: all but the secret, of which there is only a digest."""

from typing import Literal

import msgspec

from hoosh.core.principal import KeyBudget, KeyLimits, Principal

# The kinds of these records. A revocation is one of its own: nobody who changes the key at the same time can undo it.
KIND = "key"
REVOKED = "key_revoked"
KeyState = Literal["active", "expired", "revoked"]


class KeySecret(msgspec.Struct, frozen=True, omit_defaults=True):
    """HMAC-SHA-256 of one secret under the pepper of that name, in hex. A secret that was rotated is good until
    `until_s`, Unix time.
    """

    pepper: str
    digest: str
    until_s: int | None = None


class KeyTerms(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What whoever makes a key decides: core.principal.Principal tells what each means."""

    name: str
    pool: str = "default"
    owner: str = ""
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    admin: bool = False
    expires_s: int | None = None
    limits: KeyLimits = KeyLimits()
    budget: KeyBudget | None = None


class StoredKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """`id` is public: it stands in the secret, in logs and in `Principal.key_id`. A revoked key stays, so that its
    holder can be told why it does not work, and the gateway never again counts as one without keys. Its `revoked_s`
    comes from the record beside it.
    """

    id: str
    created_s: int
    terms: KeyTerms
    secrets: tuple[KeySecret, ...]
    revoked_s: int | None = None

    def state(self, now_s: int) -> KeyState:
        if self.revoked_s is not None:
            return "revoked"
        over = self.terms.expires_s is not None and self.terms.expires_s <= now_s
        return "expired" if over else "active"

    def principal(self) -> Principal:
        terms = self.terms
        return Principal(
            key_id=self.id,
            pool=terms.pool,
            owner=terms.owner,
            agents=terms.agents,
            models=terms.models,
            pools=terms.pools,
            routes=terms.routes,
            is_admin=terms.admin,
            expires_s=terms.expires_s,
            limits=terms.limits,
            budget=terms.budget,
        )


class Revocation(msgspec.Struct, frozen=True):
    at_s: int
