"""Making, changing and ending keys: what the command line and the admin listener both do.

It works on the store alone, so it does not matter whether a gateway runs. A secret is shown once, to whoever had it
made, and is nowhere kept.
"""

import asyncio
import secrets
from collections.abc import Collection

import msgspec

from hoosh.core.errors import BadRequest, NotFound
from hoosh.core.stored_key import KIND, REVOKED, KeySecret, KeyTerms, Revocation, StoredKey
from hoosh.engine.key_ring import TRIES, with_revocation
from hoosh.policy.key_terms import check_terms
from hoosh.policy.secret_keys import ID_BYTES, RANDOM_BYTES, digest, pepper_id, public_id, secret_key
from hoosh.ports import Clock, Peppers, Records

_encode = msgspec.json.Encoder().encode
_key = msgspec.json.Decoder(StoredKey)


class UnknownKey(NotFound):
    code = "key_not_found"


class MadeKey(msgspec.Struct, frozen=True):
    """A key and, this once, its secret."""

    key: StoredKey
    secret: str


class KeyOffice:
    """`pools` are those that a key may be charged to."""

    def __init__(self, records: Records, peppers: Peppers, clock: Clock, pools: Collection[str]) -> None:
        self._records = records
        self._peppers = peppers
        self._clock = clock
        self.set_pools(pools)
        self._one_change = asyncio.Lock()

    def set_pools(self, pools: Collection[str]) -> None:
        self._pools = frozenset(pools)

    async def create(self, terms: KeyTerms) -> MadeKey:
        """Raises: BadRequest, StoreFailed."""
        async with self._one_change:
            await self._check(terms)
            identity = public_id(secrets.token_bytes(ID_BYTES))
            text, kept = await self._secret(identity)
            key = StoredKey(id=identity, created_s=self._clock.unix_s(), terms=terms, secrets=(kept,))
            await self._put(key)
            return MadeKey(key, text)

    async def all(self) -> list[StoredKey]:
        """Oldest first. Raises StoreFailed."""
        bodies = await self._records.get_all(KIND)
        revoked = await self._records.get_all(REVOKED)
        keys = [with_revocation(_key.decode(body), revoked.get(identity)) for identity, body in bodies.items()]
        return sorted(keys, key=lambda key: (key.created_s, key.id))

    async def find(self, wanted: str) -> StoredKey:
        """By its id, or by its name if it is not revoked. Raises: UnknownKey, StoreFailed."""
        for key in await self.all():
            if wanted == key.id or (wanted == key.terms.name and key.revoked_s is None):
                return key
        raise UnknownKey(f"no key '{wanted[:64]}' in the store; keys of hoosh.toml are changed there")

    async def change(self, wanted: str, terms: KeyTerms) -> StoredKey:
        """Other terms, the same secret. Raises: UnknownKey, BadRequest, StoreFailed."""
        async with self._one_change:
            key = await self._living(wanted)
            await self._check(terms, key.id)
            changed = msgspec.structs.replace(key, terms=terms)
            await self._put(changed)
            return changed

    async def rotate(self, wanted: str, overlap_s: int) -> MadeKey:
        """A new secret; the old one works for `overlap_s` more. Raises: UnknownKey, BadRequest, StoreFailed."""
        async with self._one_change:
            key = await self._living(wanted)
            until_s = self._clock.unix_s() + overlap_s
            text, kept = await self._secret(key.id)
            old = tuple(_ending(secret, until_s) for secret in key.secrets[: TRIES - 1])
            changed = msgspec.structs.replace(key, secrets=(kept, *old))
            await self._put(changed)
            return MadeKey(changed, text)

    async def revoke(self, wanted: str) -> StoredKey:
        """Once and for all; again changes nothing. Raises: UnknownKey, StoreFailed."""
        key = await self.find(wanted)
        if key.revoked_s is not None:
            return key
        now_s = self._clock.unix_s()
        await self._records.put(REVOKED, key.id, _encode(Revocation(now_s)))
        return msgspec.structs.replace(key, revoked_s=now_s)

    async def _living(self, wanted: str) -> StoredKey:
        key = await self.find(wanted)
        if key.revoked_s is not None:
            raise BadRequest(f"key '{key.id}' was revoked, and stays so; make a new one", param="id")
        return key

    async def _check(self, terms: KeyTerms, own_id: str = "") -> None:
        check_terms(terms, self._clock.unix_s())
        if terms.pool not in self._pools:
            known = ", ".join(sorted(self._pools))
            raise BadRequest(f"pool: there is no pool '{terms.pool}'; there are {known}", param="pool")
        for key in await self.all():
            if key.revoked_s is None and key.terms.name == terms.name and key.id != own_id:
                raise BadRequest(f"name: '{terms.name}' is key {key.id} already", param="name")

    async def _secret(self, identity: str) -> tuple[str, KeySecret]:
        pepper = await self._peppers.newest()
        text = secret_key(identity, secrets.token_bytes(RANDOM_BYTES))
        return text, KeySecret(pepper_id(pepper), digest(pepper, text))

    async def _put(self, key: StoredKey) -> None:
        await self._records.put(KIND, key.id, _encode(msgspec.structs.replace(key, revoked_s=None)))


def _ending(secret: KeySecret, until_s: int) -> KeySecret:
    """A secret that ends sooner already goes on doing so."""
    return msgspec.structs.replace(secret, until_s=min(until_s, secret.until_s or until_s))


def described(key: StoredKey, now_s: int) -> dict[str, object]:
    """What anyone may see of a key: no secret, and no digest of one."""
    terms: dict[str, object] = msgspec.to_builtins(key.terms)
    overlap = [secret.until_s for secret in key.secrets if secret.until_s is not None and secret.until_s > now_s]
    return {
        "id": key.id,
        "state": key.state(now_s),
        "created_s": key.created_s,
        "revoked_s": key.revoked_s,
        "old_secret_until_s": max(overlap, default=None),
        "peppers": sorted({secret.pepper for secret in key.secrets}),
        **msgspec.structs.asdict(key.terms),
        "limits": terms.get("limits", {}),
        "budget": terms.get("budget"),
    }
