"""The command line. Errors are one line on stderr; exit codes: 0 well, 1 failed, 2 wrong use or configuration.

`--json` prints one JSON value instead of text. Imports are lazy: `hoosh --help` needs none of the gateway.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.table import Table

from hoosh import __version__
from hoosh.cli.keys import keys_cli
from hoosh.cli.remote import HERE, Remote
from hoosh.cli.terminal import AsJSON, ConfigPath, print_json, read_config, write, write_bytes
from hoosh.core.errors import BadRequest, ConfigError, HooshError
from hoosh.transport.loop import run

if TYPE_CHECKING:
    from hoosh.config.schema import Config
    from hoosh.dialects import JSON
    from hoosh.recordings.player import Player

Port = Annotated[int | None, Parameter(name=["--port", "-p"], help="TCP port (8088).")]
Bind = Annotated[str | None, Parameter(help="Address to listen on (127.0.0.1).")]
Workers = Annotated[int | None, Parameter(help="Processes that serve the port together (1).")]


cli = App(
    name="hoosh",
    version=__version__,
    help="One OpenAI-compatible endpoint over local and remote models. To get started: hoosh serve",
)
models_cli = App(name="models", help="List models that can be called; pull or remove local weights.")
config_cli = App(name="config", help="Check the configuration, or print its schema or an example.")
cli.command(models_cli)
cli.command(config_cli)
cli.command("hoosh.cli.prove:prove", help="Show on your own store that budgets hold: kills, disconnects, an audit.")
cli.command("hoosh.cli.route:route_cli", name="route", help="Say where a call would go, and why.")
cli.command("hoosh.cli.migrate:migrate", help="Bring the store of keys and budgets up to date, or move it.")
cli.command(keys_cli)
cli.register_install_completion_command(help="Install shell completion for bash, zsh or fish.")


def main() -> None:
    """The entry point: runs a command and turns an error into one line."""
    try:
        code = cli(exit_on_error=False, print_error=False)
    except CycloptsError as error:
        sys.stderr.write(f"hoosh: {' '.join(str(error).split())}\n")
        sys.exit(2)
    except HooshError as error:
        prefix = "" if isinstance(error, ConfigError) and "\n" in error.message else "hoosh: "
        sys.stderr.write(f"{prefix}{error.message}\n")
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


@cli.command
def serve(*, port: Port = None, bind: Bind = None, workers: Workers = None, config: ConfigPath = None) -> int:
    """Serve the gateway."""
    wanted = {"HOOSH_SERVER__PORT": port, "HOOSH_SERVER__BIND": bind, "HOOSH_SERVER__WORKERS": workers}
    environ = _with(wanted)
    loaded, path = _servable(config, environ)
    if loaded.server.workers > 1:
        from hoosh.app.workers import Plan, serve_workers  # noqa: PLC0415
        from hoosh.config.load import read  # noqa: PLC0415

        plan = Plan(config=loaded, path=path, text=read(path) if path else "", environ=environ)
        return run(lambda: serve_workers(plan, write))
    _serve(loaded, path, environ=environ)
    return 0


@cli.command
def record(file: Path, /, *, port: Port = None, bind: Bind = None, config: ConfigPath = None) -> None:
    """Serve the gateway, in one process, and append its exchanges with providers to FILE, without keys.

    FILE is for its owner only.
    """
    loaded, path = _servable(config, _with({"HOOSH_SERVER__PORT": port, "HOOSH_SERVER__BIND": bind}))
    _serve(loaded, path, file)


def _with(wanted: Mapping[str, object]) -> dict[str, str]:
    """The environment, with what the command line says."""
    return {**os.environ, **{name: str(value) for name, value in wanted.items() if value is not None}}


def _servable(config: Path | None, environ: Mapping[str, str]) -> "tuple[Config, Path | None]":
    from hoosh.config.checks import check_bind  # noqa: PLC0415

    loaded, path = _load(config, environ)
    check_bind(loaded)
    return loaded, path


def _serve(
    config: "Config", path: Path | None, recording: Path | None = None, environ: Mapping[str, str] = os.environ
) -> None:
    from hoosh.app import Gateway  # noqa: PLC0415
    from hoosh.app.serving import Serving, serve_here  # noqa: PLC0415

    what = Serving(config=config, path=path, recording=recording, environ=environ)
    run(lambda: serve_here(Gateway, what, write))


@Parameter(name="*")
@dataclass(frozen=True)
class Playing:
    """How recorded replies are played."""

    chunk: Annotated[
        Literal["recorded", "event", "byte", "random", "whole"], Parameter(help="Pieces in which a reply comes.")
    ] = "recorded"
    pace: Annotated[Literal["instant", "recorded"], Parameter(help="When its pieces come.")] = "instant"
    seed: Annotated[int, Parameter(help="Of --chunk random.")] = 0
    fault: Annotated[
        str, Parameter(help="cut=BYTES, stall=BYTES, reset=BYTES, or status=CODE[,retry-after=S]; and [,first=N].")
    ] = ""


AS_RECORDED = Playing()


@cli.command
def replay(
    files: Annotated[list[Path], Parameter(help="What `hoosh record` wrote.", negative=())],
    /,
    *,
    port: Annotated[int, Parameter(name=["--port", "-p"], help="TCP port on 127.0.0.1, 0 for a free one.")] = 8089,
    playing: Playing = AS_RECORDED,
    as_json: AsJSON = False,
) -> None:
    """Answer in the place of every recorded provider, from recordings alone."""
    from hoosh.http.listening import listen  # noqa: PLC0415
    from hoosh.http.replay import serve  # noqa: PLC0415
    from hoosh.recordings.player import Player  # noqa: PLC0415
    from hoosh.recordings.script import Play, parse_play  # noqa: PLC0415
    from hoosh.transport.replay import load  # noqa: PLC0415

    start = Play(chunk=playing.chunk, pace=playing.pace, seed=playing.seed)
    try:
        play = parse_play(playing.fault, start)
    except BadRequest as error:
        raise ConfigError(f"--fault: {error.message}") from None
    player = Player(load(files), play)
    listening = listen("127.0.0.1", port)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    run(lambda: serve(player, listening, lambda: _say_playing(player, url, as_json=as_json)))


def _say_playing(player: "Player", url: str, *, as_json: bool) -> None:
    from hoosh.recordings.match import bases  # noqa: PLC0415

    rows = [
        {"provider": name, "base_url": f"{url}/p/{name}{path}", "records": count}
        for name, path, count in bases(player.library)
    ]
    if as_json:
        print_json({"url": url, "providers": rows})
        return
    write(f"replaying {len(player.library.records)} exchanges on {url}; base_url of each provider:\n")
    for row in rows:
        write(f"  {row['provider']:12} {row['base_url']}  {row['records']} exchanges\n")
    write("ready\n")


@cli.command
def infer(
    prompt: str,
    *,
    model: Annotated[str, Parameter(name=["--model", "-m"], help="Model to ask.")] = "default",
    stream: Annotated[bool, Parameter(negative=(), help="Print the answer as it comes.")] = False,
    remote: Remote = HERE,
    config: ConfigPath = None,
    as_json: AsJSON = False,
) -> None:
    """Ask a model. Without --server the gateway runs in this process."""
    asked = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    if client := remote.client():
        if as_json:
            print_json(client.post("/v1/chat/completions", asked))
            return
        if stream:
            with client.stream(prompt, model=model) as pieces:
                for piece in pieces:
                    write(piece.text)
        else:
            write(client.chat(prompt, model=model).text)
        write("\n")
        return
    loaded, _ = _load(config, os.environ)
    run(lambda: _infer(loaded, asked, stream=stream and not as_json, as_json=as_json))


async def _infer(config: "Config", asked: Mapping[str, object], *, stream: bool, as_json: bool) -> None:
    from hoosh.app import Gateway  # noqa: PLC0415
    from hoosh.app.asking import ask  # noqa: PLC0415
    from hoosh.dialects import openai_chat, plain_text  # noqa: PLC0415
    from hoosh.telemetry.log import QuietJournal  # noqa: PLC0415

    gateway = Gateway(config, os.environ, QuietJournal())
    try:
        await gateway.open()
        body = json.dumps({**asked, "stream": stream}).encode()
        await ask(gateway, body, write_bytes, openai_chat.DIALECT if as_json else plain_text.DIALECT)
        write("\n")
    finally:
        await gateway.close()


@models_cli.default
def models(*, remote: Remote = HERE, config: ConfigPath = None, as_json: AsJSON = False) -> None:
    """List the models that can be called."""
    if client := remote.client():
        rows = client.get("/v1/models")["data"]
    else:
        loaded, _ = _load(config, os.environ)
        rows = run(lambda: _inspect(loaded, "/v1/models"))["data"]
    if as_json:
        print_json(rows)
        return
    if not rows:
        write('No models. Start a local server, set a provider\'s key, or run "hoosh models pull smollm2-135m".\n')
    for row in rows:
        state = "" if row["available"] else "  (not available)"
        write(f"{row['id']}  {row['provider']}{state}\n")


@models_cli.command
def pull(name: str, *, as_json: AsJSON = False) -> None:
    """Download a model's weights; an interrupted download goes on where it stopped."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    from hoosh.local.store import ModelStore, default_root  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        stored = ModelStore(default_root(os.environ)).pull(
            name,
            lambda progress: bar.update(
                task, description=progress.phase, completed=progress.done_bytes, total=progress.total_bytes
            ),
        )
    if as_json:
        print_json({"name": stored.manifest.name, "path": str(stored.path), "size_bytes": stored.manifest.size_bytes})
    else:
        write(f"{stored.manifest.name}  {stored.path}\n")


@models_cli.command
def rm(name: str, *, as_json: AsJSON = False) -> None:
    """Remove a model's weights."""
    from hoosh.local.store import ModelStore, default_root  # noqa: PLC0415

    ModelStore(default_root(os.environ)).remove(name)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        write(f"removed {name}\n")


@cli.command
def health(*, remote: Remote = HERE, config: ConfigPath = None, as_json: AsJSON = False) -> int:
    """Ask each provider how it is (or a running gateway with --server); exit code 1 if one is down."""
    if client := remote.client():
        rows = client.get("/v1/health/providers")["providers"]
    else:
        loaded, _ = _load(config, os.environ)
        rows = run(lambda: _inspect(loaded, "/v1/health/providers"))["providers"]
    if as_json:
        print_json(rows)
    else:
        table = Table("provider", "status", "address", "latency", "last error", box=None)
        for row in rows:
            latency = f"{row['latency_ms']:.0f} ms" if row["latency_ms"] is not None else "-"
            table.add_row(row["provider"], row["status"], row["base_url"], latency, row["last_error"] or "")
        Console().print(table if rows else "No providers.")
    return int(any(row["status"] == "unhealthy" for row in rows))


@cli.command
def info(*, config: ConfigPath = None, as_json: AsJSON = False) -> None:
    """Say what this installation has: version, configuration, engine, weights, kinds of providers."""
    from hoosh.app import known_types  # noqa: PLC0415
    from hoosh.local.embedded import has_engine  # noqa: PLC0415
    from hoosh.local.store import ModelStore, default_root  # noqa: PLC0415

    _, path = _load(config, os.environ)
    store = ModelStore(default_root(os.environ))
    facts = {
        "version": __version__,
        "python": sys.version.split()[0],
        "config": str(path) if path else None,
        "embedded_engine": has_engine(),
        "model_store": str(default_root(os.environ)),
        "weights": [stored.manifest.name for stored in store.list()],
        "provider_types": sorted(known_types()),
    }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        write(f"{name:16} {', '.join(value) if isinstance(value, list) else value}\n")


@config_cli.command
def check(path: Path | None = None, *, config: ConfigPath = None, as_json: AsJSON = False) -> None:
    """Say whether the configuration is right; each mistake with its file and line."""
    from hoosh.config.checks import check_bind  # noqa: PLC0415

    loaded, found = _load(path or config, os.environ)
    check_bind(loaded)
    if as_json:
        print_json({"ok": True, "config": str(found) if found else None})
    else:
        write(f"{found or 'no file, defaults'}: ok\n")


@config_cli.command
def schema() -> None:
    """Print the JSON schema of hoosh.toml."""
    from hoosh.config.reference import json_schema  # noqa: PLC0415

    write_bytes(json_schema())


@config_cli.command
def example() -> None:
    """Print an example hoosh.toml with every key."""
    from hoosh.config.reference import example as text  # noqa: PLC0415

    write(text())


async def _inspect(config: "Config", path: str) -> "JSON":
    """What a page of the gateway says, without a server."""
    from hoosh.app import Gateway  # noqa: PLC0415
    from hoosh.app.asking import page  # noqa: PLC0415
    from hoosh.telemetry.log import QuietJournal  # noqa: PLC0415

    gateway = Gateway(config, os.environ, QuietJournal())
    try:
        await gateway.open()
        await gateway.catalog.refresh(list(gateway.catalog.backends))
        value: JSON = json.loads(await page(gateway, path))
        return value
    finally:
        await gateway.close()


def _load(path: Path | None, environ: Mapping[str, str]) -> "tuple[Config, Path | None]":
    from hoosh.app import known_types  # noqa: PLC0415

    return read_config(path, environ, known_types())
