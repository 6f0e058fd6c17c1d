"""What stands beside the words of a reply: sources, pictures, sound, logprobs. Nothing else is lost for an odd one.

Sources, read 2026-11: OpenAI's `annotations`, `audio` and `logprobs`; https://openrouter.ai/docs/features/images for
`images`; Perplexity's `search_results`, and `citations` before them, on top of every chunk.
"""

from collections.abc import Iterator

import msgspec

from hoosh.core.events import Citation, Logprobs, Meaning, Media


class _Source(msgspec.Struct):
    url: str
    title: str | None = None
    content: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(msgspec.Struct):
    url_citation: _Source | None = None


class _ImageURL(msgspec.Struct):
    url: str


class _Image(msgspec.Struct):
    image_url: _ImageURL


class _Audio(msgspec.Struct):
    data: str | None = None


_annotations = msgspec.json.Decoder(list[_Annotation])
_images = msgspec.json.Decoder(list[_Image])
_audio = msgspec.json.Decoder(_Audio)
_sources = msgspec.json.Decoder(list[_Source | str])
_EMPTY = (b"", b"null", b"[]", b"{}")


def is_said(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in _EMPTY


def citations(annotations: msgspec.Raw, index: int) -> Iterator[Meaning]:
    try:
        read = _annotations.decode(annotations)
    except msgspec.ValidationError:
        return
    for one in read:
        if source := one.url_citation:
            places = (source.start_index or 0, source.end_index or 0)
            yield Citation(source.url, source.title or "", source.content or "", *places, index)


def sources(listed: msgspec.Raw) -> Iterator[Citation]:
    try:
        read = _sources.decode(listed)
    except msgspec.ValidationError:
        return
    for source in read:
        yield Citation(source) if isinstance(source, str) else Citation(source.url, source.title or "")


def pictures(images: msgspec.Raw, index: int) -> Iterator[Meaning]:
    try:
        read = _images.decode(images)
    except msgspec.ValidationError:
        return
    for image in read:
        url = image.image_url.url
        head, comma, data = url.partition(";base64,")
        if comma and head.startswith("data:"):
            yield Media(head.removeprefix("data:"), data, index=index)
        else:
            yield Media(url=url, index=index)


def sound(audio: msgspec.Raw, index: int) -> Iterator[Meaning]:
    """Its format is the one that was asked for, which no reply tells."""
    try:
        data = _audio.decode(audio).data
    except msgspec.ValidationError:
        return
    if data:
        yield Media("audio/wav", data, index=index)


def logprobs(raw: msgspec.Raw, index: int) -> Iterator[Meaning]:
    content = bytes(raw)
    if content[:1] == b"[" and content not in _EMPTY:
        yield Logprobs(content, index)
