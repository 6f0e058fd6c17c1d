"""Every target of fuzz/ with bytes that are wrong in ways that a machine thinks of; `make fuzz` goes on from here."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.clients import CLIENTS
from fuzz.seeds import seeds
from fuzz.targets import targets

TARGETS = targets(CLIENTS)


def mutated(name: str) -> st.SearchStrategy[bytes]:
    """Seeds with a stretch taken out, doubled or replaced; and bytes that never were anything."""
    starts = list(seeds(name)) or [b"\x07\x1f{}"]

    def change(data: bytes, at: int, length: int, put: bytes) -> bytes:
        at %= len(data) or 1
        return data[:at] + put + data[at + length :]

    noise = st.sampled_from([b"", b"null", b"0", b'"', b"{", b"[]", b"\n", b"\r", b"\xff", b"-1", b"1e999", b"\\u0000"])
    once = st.builds(
        change, st.sampled_from(starts), st.integers(0, 1 << 14), st.integers(0, 40), noise | st.binary(max_size=4)
    )
    return once | st.builds(change, once, st.integers(0, 1 << 14), st.integers(0, 9), noise) | st.binary(max_size=40)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_bytes_from_outside_give_an_answer_or_an_error_of_ours(name: str) -> None:
    target = TARGETS[name]
    for seed in seeds(name):
        target(seed)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(mutated(name))
    def check(data: bytes) -> None:
        target(data)

    check()
