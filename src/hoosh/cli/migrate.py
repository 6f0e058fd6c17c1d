"""`hoosh migrate`: the store brought up to date by hand, before a gateway does it."""

import asyncio
import json
import os
import sys
from typing import Annotated

from cyclopts import Parameter

from hoosh.local.store import default_root
from hoosh.stores.sqlite.upkeep import migrate as bring_up
from hoosh.stores.sqlite.upkeep import pending


def migrate(
    *,
    check: Annotated[
        bool, Parameter(negative=(), help="Only say whether there is something to do (exit code 1).")
    ] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")] = False,
) -> int:
    """Bring the store of keys and budgets up to date; a gateway does it by itself when it starts."""
    path = default_root(os.environ).parent / "hoosh.db"
    found = pending(path)
    if found and not check:
        asyncio.run(bring_up(path))
    if as_json:
        told = json.dumps({"store": str(path), "pending": found if check else 0, "applied": 0 if check else found})
    elif not found:
        told = f"{path}: up to date"
    else:
        told = f"{path}: {found} {'migration' if found == 1 else 'migrations'} {'pending' if check else 'applied'}"
    sys.stdout.write(f"{told}\n")
    return int(check and found > 0)
