"""Which web pages may ask where no key is needed."""

import pytest

from hoosh.core.errors import Forbidden
from hoosh.http.origin import check_page

HOSTS = frozenset({"gateway.example.com"})


@pytest.mark.parametrize(
    "host",
    [
        *(b"127.0.0.1:8088", b"127.0.0.1", b"localhost:1", b"LocalHost", b"[::1]:8088", b"127.1.2.3", b"app.localhost"),
        *(b"gateway.example.com", b"GATEWAY.example.com.:80", b"host.docker.internal:8088", b"192.168.1.7:8088"),
        *(b"[2001:db8::1]", None),
    ],
)
@pytest.mark.parametrize(
    "origin",
    [
        *(None, b"http://localhost:3000", b"http://127.0.0.1", b"https://gateway.example.com", b"http://[::1]:5173"),
        *(b"chrome-extension://abcdef", b"tauri://localhost", b"app://obsidian.md", b"file://"),
    ],
)
def test_pages_of_this_machine_and_what_is_no_page(host: bytes | None, origin: bytes | None) -> None:
    check_page({name: value for name, value in ((b"host", host), (b"origin", origin)) if value is not None}, HOSTS)


@pytest.mark.parametrize(
    "host",
    [
        *(b"evil.example:8088", b"127.0.0.1.evil.example", b"localhost.evil.example", b"localhost@evil.example"),
        *(b"evil.example#localhost", b"0x7f000001", b"2130706433", b"", b"[::1", b"internal.example", b"evillocalhost"),
        *(b"gateway.example.com.evil.example", b"xn--lcalhost-b1a", b"127.0.0.1.nip.io:80", b"\xff"),
    ],
)
def test_a_page_whose_name_was_bound_to_loopback_is_refused(host: bytes) -> None:
    with pytest.raises(Forbidden, match=r"server\.host"):
        check_page({b"host": host}, HOSTS)


@pytest.mark.parametrize(
    "origin",
    [
        *(b"https://evil.example", b"http://evil.example:8088", b"null", b"", b"http://localhost.evil.example"),
        *(
            b"http://192.168.1.7",
            b"HTTPS://evil.example",
            b"evil.example",
            b"http://",
            b"https://localhost@evil.example",
        ),
        b"http://evil.internal",
    ],
)
def test_a_page_of_elsewhere_is_refused(origin: bytes) -> None:
    with pytest.raises(Forbidden, match="without a key"):
        check_page({b"host": b"localhost", b"origin": origin}, HOSTS)
