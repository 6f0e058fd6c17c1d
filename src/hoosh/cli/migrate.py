"""`hoosh migrate`: the store brought up to date by hand, before a gateway does it, or moved."""

import asyncio
import os
from typing import Annotated

from cyclopts import Parameter

from hoosh.app import known_types
from hoosh.app.upkeep import Moved, Upkeep, move
from hoosh.app.upkeep import migrate as bring_up
from hoosh.cli.terminal import AsJSON, ConfigPath, print_json, read_config, write
from hoosh.local.store import default_root


def migrate(
    *,
    check: Annotated[
        bool, Parameter(negative=(), help="Only say whether there is something to do (exit code 1).")
    ] = False,
    from_sqlite: Annotated[
        bool, Parameter(negative=(), help="Move all of hoosh.db to the PostgreSQL of the configuration.")
    ] = False,
    as_json: AsJSON = False,
    config: ConfigPath = None,
) -> int:
    """Bring the store of keys and budgets up to date; a gateway does it by itself when it starts."""
    loaded, _ = read_config(config, os.environ, known_types())
    directory = default_root(os.environ).parent
    if from_sqlite:
        _tell_moved(asyncio.run(move(loaded, directory)), as_json=as_json)
        return 0
    done = asyncio.run(bring_up(loaded, directory, check=check))
    _tell(done, as_json=as_json)
    return int(check and done.found > 0)


def _tell(upkeep: Upkeep, *, as_json: bool) -> None:
    found, done = upkeep.found, upkeep.done
    if as_json:
        print_json({"store": upkeep.store, "pending": 0 if done else found, "applied": found if done else 0})
    elif not found:
        write(f"{upkeep.store}: up to date\n")
    else:
        what = "migration" if found == 1 else "migrations"
        write(f"{upkeep.store}: {found} {what} {'applied' if done else 'pending'}\n")


def _tell_moved(moved: Moved, *, as_json: bool) -> None:
    if as_json:
        print_json({"moved": dict(moved.counts), "kept": str(moved.kept)})
    else:
        rows = ", ".join(f"{count} {name}" for name, count in moved.counts.items() if count)
        write(f"moved: {rows or 'nothing'}\nthe file is kept as {moved.kept}\n")
