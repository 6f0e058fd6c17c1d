"""A gateway that serves until it is told to end: alone on its port, or as one of several workers."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from hoosh import __version__
from hoosh.app.place import Place
from hoosh.app.reloading import Reloading, reload_on_signal, watching
from hoosh.config.schema import Config
from hoosh.http.door import DoorSettings
from hoosh.http.listening import listen, listen_beside
from hoosh.http.server import ServerSettings, serve
from hoosh.http.side import administer
from hoosh.telemetry.log import LineJournal, as_json, as_text, set_up
from hoosh.transport.record import RecordingFile

if TYPE_CHECKING:
    from hoosh.app import Gateway


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is where the configuration is from, `recording` where exchanges with providers go."""

    config: Config
    path: Path | None = None
    recording: Path | None = None
    place: Place = Place()
    environ: Mapping[str, str] = os.environ


async def serve_here(
    kind: "type[Gateway]",
    what: Serving,
    say: Callable[[str], None],
    known: Callable[["Gateway"], None] | None = None,
) -> None:
    """`say` gets what is to be told once it is ready, and `known` the gateway itself; who wants to know it, one of
    several workers, also sees to its configuration. Raises HooshError.
    """
    config, server = what.config, what.config.server
    set_up(config.logging.level, config.logging.format)
    file = RecordingFile(what.recording) if what.recording else None
    is_shared = what.place.count > 1
    listening = (listen_beside if is_shared else listen)(server.bind, server.port)
    line = as_json if config.logging.format == "json" else as_text
    journal = LineJournal(sys.stderr, line, is_shared=is_shared)
    gateway = kind(config, os.environ, journal, file, what.place)
    async with AsyncExitStack() as ends:
        ends.callback(listening.close)
        ends.callback(journal.close)
        if file is not None:
            ends.push_async_callback(file.aclose)
        ends.push_async_callback(gateway.close)
        await gateway.open()
        gateway.start_background()
        _settle_memory()
        door = DoorSettings(
            head_limit_bytes=server.header_limit_bytes,
            head_timeout_s=server.header_timeout_s,
            body_timeout_s=server.body_timeout_s,
        )
        notes = [f"{what.place.count} workers"] if is_shared else []
        reloading = Reloading(gateway, what.path, what.environ, _tell_parent if known else None)
        if known is None:
            ends.callback(reload_on_signal(reloading.try_to))
            if server.watch_config and what.path is not None:
                ends.callback(watching(what.path, reloading.try_to))
        if config.admin.enabled and what.place.index == 0:
            more = (reloading.route, *gateway.cache_room.admin_routes())
            side = await administer(gateway.key_room.admin_app(gateway.metering, *more), config.admin, door)
            ends.push_async_callback(side.stop)
            notes.append(f"administration on {side.place}")
        if what.recording:
            notes.append(f"recording to {what.recording}")
        if known is not None:
            known(gateway)
        say(_banner(gateway, f"http://{server.bind}:{listening.getsockname()[1]}", what.path, notes))
        await serve(gateway.app, listening, ServerSettings(door=door, drain_s=server.drain_s), gateway.drain)


def _tell_parent() -> None:
    """It then tells all workers, this one too."""
    os.kill(os.getppid(), signal.SIGHUP)


def _settle_memory() -> None:
    """What is loaded now lives as long as the process: the collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _banner(gateway: "Gateway", url: str, path: Path | None, notes: Sequence[str]) -> str:
    lines = [f"hoosh {__version__} on {url}  (configuration: {path or 'none, defaults'})"]
    lines += [f"  {note}" for note in notes]
    for backend in gateway.catalog.backends.values():
        count = len(gateway.catalog.standing(backend.name).models or backend.models)
        what = f"{count} models" if count > 1 else ", ".join(backend.models) or "by model name"
        lines.append(f"  {backend.name:12} {backend.base_url}  {what}")
    if not gateway.catalog.backends:
        lines.append("  no provider found: start a local server, set a provider's key, or run")
        lines.append("    pip install 'hoosh[llama]' && hoosh models pull smollm2-135m")
    lines.append(f"""try:
  curl {url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "default", "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'
  python -c 'import openai; print(openai.OpenAI(base_url="{url}/v1", api_key="any").chat.completions.create(
    model="default", messages=[{{"role": "user", "content": "Hello"}}]).choices[0].message.content)'
  ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=any ANTHROPIC_MODEL=default claude
ready
""")
    return "\n".join(lines)
