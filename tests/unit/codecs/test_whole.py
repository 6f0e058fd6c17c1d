"""Bodies that mean nothing until they are whole."""

import pytest

from hoosh.codecs import Frame, FrameTooLarge
from hoosh.codecs.whole import WholeBody


def test_one_frame_at_the_end() -> None:
    body = WholeBody()
    assert body.feed(b'{"a"') == []
    assert body.feed(b":1}") == []
    assert body.eof() == [Frame(b'{"a":1}', b'{"a":1}')]
    assert body.eof() == []


def test_an_empty_body_is_no_frame() -> None:
    assert WholeBody().eof() == []


def test_the_limit() -> None:
    body = WholeBody(4)
    body.feed(b"1234")
    with pytest.raises(FrameTooLarge, match="more than 4 bytes"):
        body.feed(b"5")
