"""`/v1/files` of a real gateway process, as the official client uses it."""

from collections.abc import Iterator, Sequence

import pytest
from openai import BadRequestError, NotFoundError

from batching import KEYS, LAPTOP, TIED, Busy, client_of, jsonl, line
from gateway import Provider, Running, one_provider, provider, serving


@pytest.fixture(scope="module")
def upstream() -> Iterator[Provider]:
    with provider(Busy) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(upstream: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = one_provider(upstream.url) + "[retry]\ntries = 1\n" + KEYS
    with serving(tmp_path_factory.mktemp("home"), config) as running:
        yield running


@pytest.mark.parametrize("text", [b"{not json", b"[1]", b'"a"', b'{"a": 1} {"b": 2}', b"\xff"])
def test_what_is_no_jsonl_is_not_taken(gateway: Running, text: bytes) -> None:
    client = client_of(gateway)
    with pytest.raises(BadRequestError) as refused:
        client.files.create(file=("a", jsonl([line("a"), text])), purpose="batch")
    assert refused.value.param == "file"
    assert "line 2" in refused.value.message
    assert client.files.create(file=("a", text), purpose="user_data").bytes == len(text)


def test_files_in_pages_and_what_of_them_is_wrong(gateway: Running) -> None:
    client = client_of(gateway, TIED)
    files = [client.files.create(file=(f"{n}", b"{}"), purpose="batch") for n in range(3)]
    assert [each.id for each in client.files.list(limit=2)] == [file.id for file in reversed(files)]
    assert client.files.list(order="asc").data[0].id == files[0].id
    assert client.files.list(purpose="evals").data == []
    short = client.files.create(
        file=("short", b"x" * 3_000_000), purpose="evals", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert short.expires_at == short.created_at + 3600
    assert client.files.content(short.id).content == b"x" * 3_000_000
    assert client.files.delete(short.id).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(NotFoundError):
            call(short.id)
    for purpose in ("batch_output", "else"):
        with pytest.raises(BadRequestError) as refused:
            client.files.create(file=("a", b"{}"), purpose=purpose)  # type: ignore[arg-type]
        assert refused.value.param == "purpose"
    for limit in (0, 10_001):
        with pytest.raises(BadRequestError):
            client.files.list(limit=limit)
    with pytest.raises(BadRequestError):
        client.files.list(after="file-none")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (("content-type: application/json",), b"{}", 415),
        (("content-type: multipart/form-data",), b"", 400),
        (("content-type: multipart/form-data; boundary=b",), b"", 400),
        (("content-type: multipart/form-data; boundary=b",), b"--b\r\n\r\n\r\n", 400),
        (("content-type: multipart/form-data; boundary=b", "origin: https://evil.example"), b"--b--", 403),
    ],
)
def test_what_is_no_form_is_refused(gateway: Running, headers: Sequence[str], body: bytes, status: int) -> None:
    answer = gateway.ask(body, f"authorization: Bearer {LAPTOP}", *headers, path="/v1/files")
    assert answer.status == status
    assert answer.error["message"]
