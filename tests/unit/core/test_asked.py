"""Words about a request and where it goes."""

from hoosh.core.asked import ImagePart, Message, TextPart
from hoosh.core.plan import Target


def test_a_messages_text_is_its_text_parts_in_order() -> None:
    message = Message("user", (TextPart("a"), ImagePart(url="http://x/y.png"), TextPart("b")))
    assert message.text == "ab"
    assert Message("assistant").text == ""


def test_a_target_is_written_as_it_can_be_asked_for() -> None:
    assert str(Target("openai", "org/model")) == "openai/org/model"
