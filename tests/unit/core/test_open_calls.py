"""Results find their calls, whatever of the two is told."""

from hoosh.core.asked import ToolCall
from hoosh.core.open_calls import OpenCalls


def test_a_result_finds_its_call_by_id_by_name_or_by_its_turn() -> None:
    calls = OpenCalls()
    first, second, third = (calls.add("", name, "{}") for name in ("a", "b", "a"))
    assert calls.answered("", "b") == second
    assert calls.answered(third.id, "") == third
    assert calls.answered("", "") == first
    assert calls.answered("", "a") is None
    assert calls.answered(first.id, "a") is None


def test_calls_without_ids_never_share_one_with_a_call_that_has_it() -> None:
    calls = OpenCalls()
    assert calls.add("call_1", "a", "{}") == ToolCall("call_1", "a", "{}")
    assert calls.add("", "b", "{}").id == "call_2"
    assert calls.new_id() == "call_3"


def test_many_calls_that_nobody_answers_cost_no_more_each() -> None:
    """A scan of all that wait for each result took minutes for a body of some megabytes."""

    class Counting(str):
        __slots__ = ()
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counting.compared += 1
            return str.__eq__(self, other)

        def __hash__(self) -> int:
            return str.__hash__(self)

    calls = OpenCalls()
    for k in range(1000):
        calls.add(Counting(f"c{k}"), Counting("a"), "{}")
    Counting.compared = 0
    for k in range(1000):
        assert calls.answered(f"d{k}", "b") is None
        assert calls.answered("", "b") is None
    assert Counting.compared < 1000
