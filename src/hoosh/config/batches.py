"""Files and batches of requests that run in the background."""

from typing import Annotated

from msgspec import Meta

from hoosh.config.words import Bytes, Count, Table


class BatchesConfig(Table, frozen=True):
    enabled: Annotated[bool, Meta(description="Whether `/v1/files` and `/v1/batches` are served.")] = True
    concurrency: Annotated[
        int, Meta(ge=1, le=1024, description="Lines that one process asks at once, of all its batches together.")
    ] = 4
    max_lines: Annotated[Count, Meta(description="Lines of one batch.")] = 50_000
    max_file_bytes: Annotated[Bytes, Meta(description="Largest file; more is answered 413.")] = 104_857_600
    max_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 40, description="What all files and batches may take; then none is taken.")
    ] = 1 << 30
    keep_days: Annotated[
        int, Meta(ge=1, le=3650, description="Days that a file is kept, and a batch that is over.")
    ] = 30
