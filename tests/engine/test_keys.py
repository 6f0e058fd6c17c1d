"""Keys over a store: made by one office, asked for at rings of other processes, through time, loss and rotation."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import pytest

from hoosh.core.errors import BadRequest, Forbidden, HooshError, StoreFailed, Unauthorized
from hoosh.core.principal import ANONYMOUS, KeyBudget, KeyLimits, Principal
from hoosh.core.stored_key import KIND, REVOKED, KeyTerms
from hoosh.engine.admin_keys import AdminKeys
from hoosh.engine.key_office import KeyOffice, UnknownKey, described
from hoosh.engine.key_ring import MAX_MEMO, KeyRing, RingRules
from hoosh.policy.secret_keys import digest, pepper_id
from hoosh.ports import Keys
from hoosh.stores.memory import StaticKeys
from hoosh.stores.records_memory import MemoryRecords

OWN = "a-token-of-good-length"


class HandClock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000

    def monotonic_ns(self) -> int:
        return self.now_s * 10**9

    def unix_s(self) -> int:
        return self.now_s


class ThesePeppers:
    def __init__(self) -> None:
        self.all = [b"p" * 32]

    async def known(self) -> Mapping[str, bytes]:
        return {pepper_id(pepper): pepper for pepper in self.all}

    async def newest(self) -> bytes:
        return self.all[0]


class Store(MemoryRecords):
    """A store that can be taken away, and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.is_gone = False
        self.reads = 0

    async def version(self) -> int:
        if self.is_gone:
            raise StoreFailed("gone")
        return await super().version()

    async def get_all(self, kind: str) -> Mapping[str, bytes]:
        self.reads += 1
        return await super().get_all(kind)


class Room:
    def __init__(self, configured: Keys | None = None, rules: RingRules | None = None) -> None:
        self.store, self.peppers, self.clock = Store(), ThesePeppers(), HandClock()
        self.office = KeyOffice(self.store, self.peppers, self.clock, {"default", "team"})
        self.ring = KeyRing(configured, self.store, self.peppers, self.clock, rules or RingRules())

    async def make(self, name: str = "a", **terms: object) -> str:
        made = await self.office.create(KeyTerms(name, **terms))  # type: ignore[arg-type]
        await self.ring.look()
        return made.secret

    def refusal(self, token: str | None) -> str:
        with pytest.raises(Unauthorized) as told:
            self.ring.identify(token)
        assert told.value.code == "invalid_api_key"
        return told.value.message


def play(scene: Callable[[Room], Awaitable[None]], configured: Keys | None = None, **rules: object) -> None:
    async def main() -> None:
        await scene(Room(configured, RingRules(**rules)))  # type: ignore[arg-type]

    asyncio.run(main())


def configured(**terms: object) -> StaticKeys:
    return StaticKeys([(OWN, Principal("laptop", **terms))])  # type: ignore[arg-type]


def test_a_key_is_who_it_was_made_for() -> None:
    async def scene(room: Room) -> None:
        limits, budget = KeyLimits(rpm=1), KeyBudget(5, None, "day")
        secret = await room.make(
            pool="team",
            owner="Ada",
            agents=("x",),
            models=("m*",),
            pools=("p*",),
            routes=("chat",),
            admin=True,
            expires_s=1_900_000_000,
            limits=limits,
            budget=budget,
        )
        found = room.ring.identify(secret)
        assert found == Principal(
            key_id=secret.split("_")[1],
            pool="team",
            owner="Ada",
            agents=("x",),
            models=("m*",),
            pools=("p*",),
            routes=("chat",),
            is_admin=True,
            expires_s=1_900_000_000,
            limits=limits,
            budget=budget,
        )
        assert room.ring.identify(secret) is found  # remembered

    play(scene)


def test_the_store_never_holds_what_could_be_used() -> None:
    async def scene(room: Room) -> None:
        secret = await room.make()
        made = await room.office.rotate("a", 60)
        await room.office.revoke("a")
        dump = repr(room.store._kept).encode()
        for text in (secret, made.secret):
            random = text.rpartition("_")[2]
            assert random[:43].encode() not in dump
        assert digest(b"p" * 32, secret).encode() in dump  # so what is looked for would be found
        shown = json.dumps([described(key, 0) for key in await room.office.all()])
        assert digest(b"p" * 32, secret) not in shown

    play(scene)


def test_without_any_key_everybody_is_anonymous_and_with_one_nobody_is() -> None:
    async def scene(room: Room) -> None:
        await room.ring.look()
        assert room.ring.identify(None) is ANONYMOUS
        assert room.ring.identify("anything") is ANONYMOUS
        await room.make()
        assert room.refusal(None).startswith("Invalid or missing API key: send it as")
        assert room.refusal("anything") == "Invalid or missing API key."
        await room.office.revoke("a")
        await room.ring.look()
        assert room.refusal(None)  # the last key's end does not open the door
        await room.store.drop(KIND, (await room.office.all())[0].id)
        await room.ring.look()
        assert room.refusal(None)  # nor does its record's

    play(scene)


def test_keys_can_be_asked_for_before_there_are_any() -> None:
    async def scene(room: Room) -> None:
        await room.ring.look()
        assert room.refusal(None)

    play(scene, required=True)


def test_keys_of_the_configuration_go_on_beside_those_of_the_store() -> None:
    async def scene(room: Room) -> None:
        assert room.ring.identify(OWN).key_id == "laptop"  # even before the store was looked at
        secret = await room.make()
        assert room.ring.identify(OWN).key_id == "laptop"
        assert room.ring.identify(secret).key_id == secret.split("_")[1]
        assert room.refusal(OWN + "x")

    play(scene, configured())


def test_a_key_of_the_configuration_expires_too() -> None:
    async def scene(room: Room) -> None:
        assert room.ring.identify(OWN).key_id
        room.clock.now_s += 10
        assert room.refusal(OWN) == "API key 'laptop' has expired."
        assert room.ring.recall(OWN) is None

    play(scene, configured(expires_s=1_800_000_010))


@pytest.mark.parametrize("is_remembered", [True, False])
def test_an_expired_and_a_revoked_key_say_so_to_their_holder(is_remembered: bool) -> None:
    async def scene(room: Room) -> None:
        ending, ended = await room.make("a", expires_s=room.clock.now_s + 10), await room.make("b")
        if is_remembered:
            room.ring.identify(ending)
            room.ring.identify(ended)
        await room.office.revoke("b")
        await room.ring.look()
        room.clock.now_s += 10
        await room.ring.look()
        assert room.refusal(ending).endswith(") has expired.")
        assert room.refusal(ended).endswith(") was revoked.")

    play(scene)


def test_of_a_key_a_stranger_learns_nothing() -> None:
    async def scene(room: Room) -> None:
        secret = await room.make()
        other = await room.make("b")
        await room.office.revoke("a")
        await room.store.drop(KIND, other.split("_")[1])
        await room.ring.look()
        own = Room()
        await own.make()
        foreign = (await own.office.create(KeyTerms("x"))).secret
        # The right form, and an id that is known: made with another's random part.
        assert room.refusal(foreign) == room.refusal(other) == "Invalid or missing API key."
        assert "a letter is missing" in room.refusal(secret[:-1])

    play(scene)


def test_a_new_secret_and_the_old_one_for_a_while() -> None:
    async def scene(room: Room) -> None:
        old = await room.make()
        assert room.ring.identify(old).key_id
        new = (await room.office.rotate("a", 60)).secret
        await room.ring.look()
        assert new != old
        assert room.ring.identify(new).key_id == room.ring.identify(old).key_id
        room.clock.now_s += 60
        await room.ring.look()
        assert "has a new secret" in room.refusal(old)
        assert room.ring.identify(new).key_id

    play(scene)


def test_of_two_rotations_the_first_secret_is_over_and_no_overlap_grows() -> None:
    async def scene(room: Room) -> None:
        first = await room.make()
        second = (await room.office.rotate("a", 60)).secret
        third = (await room.office.rotate("a", 5)).secret
        await room.ring.look()
        assert room.refusal(first)
        assert room.ring.identify(second).key_id
        assert room.ring.identify(third).key_id
        room.clock.now_s += 5
        assert room.refusal(second)
        now = (await room.office.rotate("a", 0)).secret
        await room.ring.look()
        assert room.refusal(third)
        assert room.ring.identify(now).key_id

    play(scene)


def test_who_changes_a_key_while_it_is_revoked_does_not_undo_that() -> None:
    async def scene(room: Room) -> None:
        secret = await room.make()
        before = await room.store.get_all(KIND)
        await room.office.revoke("a")
        await room.store.put(KIND, *next(iter(before.items())))
        await room.ring.look()
        assert room.refusal(secret).endswith("was revoked.")
        identity = secret.split("_")[1]
        with pytest.raises(BadRequest, match="was revoked"):
            await room.office.rotate(identity, 0)
        with pytest.raises(BadRequest, match="was revoked"):
            await room.office.change(identity, KeyTerms("a"))
        assert (await room.office.revoke(identity)).revoked_s == room.clock.now_s
        assert len(await room.store.get_all(REVOKED)) == 1

    play(scene)


def test_a_change_reaches_who_is_remembered() -> None:
    async def scene(room: Room) -> None:
        secret = await room.make()
        assert room.ring.identify(secret).models == ()
        await room.office.change("a", KeyTerms("a", models=("x",)))
        await room.ring.look()
        assert room.ring.identify(secret).models == ("x",)

    play(scene)


def test_names_are_of_one_living_key_and_free_again_after_it() -> None:
    async def scene(room: Room) -> None:
        secret = await room.make()
        with pytest.raises(BadRequest) as told:
            await room.make()
        assert told.value.param == "name"
        await room.office.change("a", KeyTerms("a", owner="Ada"))
        await room.office.revoke("a")
        with pytest.raises(UnknownKey):
            await room.office.find("a")
        assert (await room.office.find(secret.split("_")[1])).terms.owner == "Ada"
        await room.make()

    play(scene)


def test_a_pool_that_there_is_not_is_refused() -> None:
    async def scene(room: Room) -> None:
        with pytest.raises(BadRequest) as told:
            await room.make(pool="temm")
        assert told.value.param == "pool"

    play(scene)


def test_a_store_that_cannot_be_read_is_told_and_opens_nothing() -> None:
    """Not even for a gateway that has no keys: perhaps there are some."""

    async def scene(room: Room) -> None:
        secret = await room.make()
        room.store.is_gone = True
        fresh = KeyRing(None, room.store, room.peppers, room.clock, RingRules())
        await fresh.look()
        for token in (None, secret):
            with pytest.raises(StoreFailed) as told:
                fresh.identify(token)
            assert (told.value.status, told.value.code) == (503, "keys_unreadable")
        room.store.is_gone = False
        await fresh.look()
        assert fresh.identify(secret).key_id

    play(scene)


def test_what_is_known_stays_good_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(room: Room) -> None:
        secret, unused = await room.make(), await room.make("b")
        assert room.ring.identify(secret).key_id
        room.store.is_gone = True
        for _ in range(60):
            room.clock.now_s += 1
            await room.ring.look()
            assert room.ring.is_down
        assert room.ring.identify(secret).key_id
        assert room.ring.identify(unused).key_id
        room.clock.now_s += 1
        for token in (secret, unused):
            with pytest.raises(StoreFailed):
                room.ring.identify(token)
        assert room.ring.identify(OWN).key_id  # it never came from there
        room.store.is_gone = False
        await room.ring.look()
        assert room.ring.identify(secret).key_id
        assert not room.ring.is_down

    with caplog.at_level(logging.WARNING):
        play(scene, configured(), grace_s=60.0)
    assert [record.message for record in caplog.records] == [
        "the store of keys cannot be read: gone",
        "the store of keys can be read again",
    ]


def test_a_task_that_died_is_no_way_to_stay_valid() -> None:
    async def scene(room: Room) -> None:
        secret = await room.make()
        assert room.ring.identify(secret).key_id
        room.clock.now_s += 61  # nobody looked
        with pytest.raises(StoreFailed):
            room.ring.identify(secret)

    play(scene)


def test_the_store_is_read_only_when_it_has_changed() -> None:
    async def scene(room: Room) -> None:
        await room.make()
        before = room.store.reads
        for _ in range(5):
            await room.ring.look()
        assert room.store.reads == before

    play(scene)


def test_a_record_that_cannot_be_read_opens_nothing_and_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(room: Room) -> None:
        secret = await room.make()
        await room.store.put(KIND, "later", b'{"id": 5}')
        await room.ring.look()
        assert room.ring.identify(secret).key_id

    play(scene)
    assert "key later cannot be read" in caplog.text


def test_a_new_pepper_is_for_new_secrets_and_old_ones_go_on_until_it_goes() -> None:
    async def scene(room: Room) -> None:
        old = await room.make()
        room.peppers.all.insert(0, b"q" * 32)
        new = await room.make("b")
        assert room.ring.identify(old).key_id
        assert room.ring.identify(new).key_id
        keys = {key.terms.name: described(key, 0)["peppers"] for key in await room.office.all()}
        assert keys == {"a": [pepper_id(b"p" * 32)], "b": [pepper_id(b"q" * 32)]}
        del room.peppers.all[1]
        fresh = KeyRing(None, room.store, room.peppers, room.clock, RingRules())
        await fresh.look()
        assert fresh.identify(new).key_id
        with pytest.raises(Unauthorized):
            fresh.identify(old)

    play(scene)


def test_a_digest_without_its_pepper_admits_nobody() -> None:
    """The empty key of an HMAC is a key like any other, and no stranger may have made a digest with it."""

    async def scene(room: Room) -> None:
        secret = await room.make()
        identity, body = next(iter((await room.store.get_all(KIND)).items()))
        record = msgspec.json.decode(body)
        record["secrets"] = [{"pepper": "gone", "digest": digest(b"", secret)}]
        await room.store.put(KIND, identity, msgspec.json.encode(record))
        await room.ring.look()
        assert room.refusal(secret)

    play(scene)


def test_what_is_remembered_is_bounded() -> None:
    async def scene(room: Room) -> None:
        many = [(f"token-{n:020}", Principal(f"k{n}")) for n in range(MAX_MEMO + 5)]
        table = dict(many)

        class Table:
            def identify(self, token: str | None) -> Principal:
                raise NotImplementedError

            def recall(self, token: str) -> Principal | None:
                return table.get(token)

        ring = KeyRing(Table(), room.store, room.peppers, room.clock, RingRules())
        for token, principal in many:
            assert ring.identify(token) is principal
        assert len(ring._memo) == MAX_MEMO
        assert ring.recall(many[0][0]) is None
        assert ring.recall(many[-1][0]) is many[-1][1]

    play(scene)


def test_only_keys_for_administration_administer() -> None:
    async def scene(room: Room) -> None:
        admin = AdminKeys(room.ring)
        await room.ring.look()
        for token in (None, "anything"):  # a gateway without keys has no administrator
            with pytest.raises(Unauthorized):
                admin.identify(token)
        plain, chief = await room.make(), await room.make("b", admin=True, routes=("chat",))
        room.ring.identify(plain)
        refused: list[type[HooshError]] = []
        for ask in (admin.identify, admin.recall):
            with pytest.raises(Forbidden) as told:
                ask(plain)
            refused.append(told.type)
        assert admin.recall(chief) is None
        assert admin.identify(chief).routes == ()
        assert admin.recall(chief) == admin.identify(chief)

    play(scene)
