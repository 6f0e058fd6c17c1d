from hoosh.core.events import ToolDelta
from hoosh.core.whole_calls import WholeCall, WholeCalls


def test_mixed_pieces_of_two_calls_are_two_calls_in_order() -> None:
    calls = WholeCalls()
    for delta in (
        ToolDelta(1, "b", "g", "{"),
        ToolDelta(0, "a", "f", '{"x":'),
        ToolDelta(1, arguments="}", signature="s"),
    ):
        calls.add(delta)
    assert not calls.are_complete()
    calls.add(ToolDelta(0, arguments=" 1}"))
    assert calls.are_complete()
    assert calls.take() == [
        WholeCall(id="a", name="f", arguments='{"x": 1}', signature="", is_object=True),
        WholeCall(id="b", name="g", arguments="{}", signature="s", is_object=True),
    ]
    assert calls.take() == []


def test_what_is_no_object_is_told_and_nothing_is_an_empty_one() -> None:
    calls = WholeCalls()
    calls.add(ToolDelta(0, "a", "f", "[1]"))
    calls.add(ToolDelta(1, "b", "g", '{"x":'))
    calls.add(ToolDelta(2, "c", "h", " "))
    assert [(call.arguments, call.is_object) for call in calls.take()] == [
        ("[1]", False),
        ('{"x":', False),
        ("{}", True),
    ]
