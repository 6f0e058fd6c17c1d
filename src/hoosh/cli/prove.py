"""`hoosh prove`: that budgets hold, shown on the user's own store."""

import asyncio
import os
import time
from dataclasses import asdict, dataclass
from typing import Annotated

import msgspec
from cyclopts import Parameter

from hoosh.app import known_types
from hoosh.cli.terminal import AsJSON, ConfigPath, print_json, read_config, write
from hoosh.local.store import default_root
from hoosh.prove.run import CEILINGS, Proof, Verdict, Wanted


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Options:
    seconds: Annotated[float, Parameter(help="How long gateways are killed and callers leave.")] = 20.0
    callers: Annotated[int, Parameter(help="Callers at once.")] = 64
    gateways: Annotated[int, Parameter(help="Gateways on the store.")] = 2
    workers: Annotated[int, Parameter(help="Processes of each gateway.")] = 1
    kills: Annotated[int, Parameter(help="Gateways that are ended by SIGKILL.")] = 10
    seed: Annotated[int | None, Parameter(help="For the same moments of chance again.")] = None


USUAL = Options()


def prove(*, options: Options = USUAL, as_json: AsJSON = False, config: ConfigPath = None) -> int:
    """Show on the configured store that budgets hold: real gateways, kills, callers that leave, and an audit.

    What it needs it makes beside what is there (a folder, a schema, keys of their own), and takes away again. The exit
    code is 1 where anything was wrong.
    """
    loaded, _ = read_config(config, os.environ, known_types())
    seed = time.time_ns() % 1_000_000 if options.seed is None else options.seed
    wanted = Wanted(**{**asdict(options), "seed": seed})
    verdict = asyncio.run(Proof(loaded, default_root(os.environ).parent, wanted).run())
    if as_json:
        print_json({**msgspec.to_builtins(verdict), "holds": verdict.holds})
    else:
        write(_in_words(verdict))
    return int(not verdict.holds)


def _in_words(verdict: Verdict) -> str:
    found = verdict.found
    counts = f"{found.exact} are exact, {found.estimated} estimated, {found.unsent} of calls that were never sent"
    lines = [
        f"{verdict.store}, seed {verdict.seed}",
        f"  {found.calls} calls, {verdict.kills} gateways killed, {verdict.looks} audits",
        f"  a budget of {CEILINGS['small']} tokens was used to {verdict.small_tokens}",
        f"  {found.acknowledged} calls were acknowledged",
        f"  of its lines {counts}",
        f"  the provider told of {found.served_tokens} tokens, the ledger has {found.booked_tokens}",
        *(f"  WRONG {breach}" for breach in found.breaches[:20]),
        "budgets hold" if verdict.holds else f"BUDGETS DO NOT HOLD: {len(found.breaches)} breaches; see {verdict.kept}",
    ]
    return "\n".join(lines) + "\n"
