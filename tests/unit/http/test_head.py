"""The head of a reply."""

import h11
import pytest

from hoosh.http.head import render


@pytest.mark.parametrize("status", [200, 418, 520, 524, 599])
def test_a_status_that_no_standard_names_is_told_as_it_is(status: int) -> None:
    """Providers behind Cloudflare answer 520 to 527."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.receive_data(render(status, [(b"a", b"b")], b"content-length: 0\r\n"))
    reply = client.next_event()
    assert isinstance(reply, h11.Response)
    assert (reply.status_code, list(reply.headers)) == (status, [(b"a", b"b"), (b"content-length", b"0")])
