"""The memory of the cache: bounded in bytes, and the count of them is exact."""

from hypothesis import given
from hypothesis import strategies as st

from hoosh.core.cached import ENTRY_BYTES, CacheStanding, KeptAnswer
from hoosh.stores.answers_memory import MemoryAnswers

ROOM = 8 * ENTRY_BYTES


def kept(n: int, size: int = 0, expires_s: int = 0, tenant: str = "a", model: str = "m") -> KeptAnswer:
    who = {"tenant": tenant, "asked": "fast", "provider": "p", "model": model}
    return KeptAnswer(key=b"%d" % n, **who, stored_s=0, expires_s=expires_s, body=b"x" * size)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 3000), st.integers(0, 9)),
        st.tuples(st.just("get"), st.integers(0, 9), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("drop"), st.integers(0, 9), st.just(0), st.just(0)),
        st.tuples(st.just("purge"), st.integers(0, 1), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_it_is_as_a_plain_list_in_order_of_use(steps: list[tuple[str, int, int, int]]) -> None:
    memory, plain, gone = MemoryAnswers(), list[KeptAnswer](), 0
    for what, n, more, expires_s in steps:
        if what == "put":
            one = kept(n, more, expires_s, tenant="ab"[n % 2])
            memory.put(one, ROOM)
            plain = [*(other for other in plain if other.key != one.key), one]
            while sum(other.size_bytes for other in plain) > ROOM:
                del plain[0]
                gone += 1
        elif what == "get":
            found = next((other for other in plain if other.key == b"%d" % n), None)
            if found is not None:
                plain.remove(found)
                if 0 < found.expires_s <= more:
                    found = None
                else:
                    plain.append(found)
            assert memory.get(b"%d" % n, more) is found
        elif what == "drop":
            memory.drop(b"%d" % n)
            plain = [other for other in plain if other.key != b"%d" % n]
        else:
            tenant = "ab"[n]
            count = memory.purge(tenant, "*")
            assert count == sum(other.tenant == tenant for other in plain)
            plain = [other for other in plain if other.tenant != tenant]
        assert memory.standing == CacheStanding(len(plain), sum(other.size_bytes for other in plain))
        assert memory.evictions == gone


def test_what_is_larger_than_the_room_is_not_kept() -> None:
    memory = MemoryAnswers()
    memory.put(kept(1, ROOM), ROOM)
    assert memory.standing == CacheStanding(0, 0)


def test_a_purge_is_of_one_tenant_and_of_some_models() -> None:
    memory = MemoryAnswers()
    for n, (tenant, model) in enumerate((("a", "m"), ("a", "n"), ("b", "m"))):
        memory.put(kept(n, tenant=tenant, model=model), ROOM)
    assert memory.purge("a", "p/n*") == 1
    assert memory.of_tenant("a") == CacheStanding(1, ENTRY_BYTES)
    assert memory.purge("a", "nothing*") == 0
    assert memory.purge(None, "fast") == 2
