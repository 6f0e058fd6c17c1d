"""Who may call, and who may administer."""

from typing import Annotated

from msgspec import Meta

from hoosh.config.secret import Secret
from hoosh.config.words import Count, Moment, Name, PerMinute, Seconds, Table, Text


class KeyConfig(Table, frozen=True):
    name: Annotated[Name, Meta(description="Who uses it; shown in logs and reports.", examples=["laptop"])]
    token: Annotated[
        Secret,
        Meta(description="What the client sends as its API key; at least 16 characters.", examples=["$LAPTOP_TOKEN"]),
    ]
    pool: Annotated[Name, Meta(description="Budget that its calls are charged to.")] = "default"
    rpm: Annotated[
        Count | None,
        Meta(description="Requests per minute that it may make; all of them may come at once.", examples=[60]),
    ] = None
    tpm: Annotated[
        PerMinute | None, Meta(description="Tokens per minute that its calls may use.", examples=[100_000])
    ] = None
    concurrency: Annotated[Count | None, Meta(description="Calls of it that may run at once.", examples=[8])] = None
    owner: Annotated[str, Meta(max_length=256, description="Whose it is, for reports.", examples=["Ada"])] = ""
    agents: Annotated[
        tuple[Text, ...],
        Meta(description="Names that it may go by (`x-agent-id`); any if empty.", examples=[["tarang"]]),
    ] = ()
    models: Annotated[
        tuple[Text, ...],
        Meta(description="Globs of the models it may use, as `model` or `provider/model`; all if empty."),
    ] = ()
    pools: Annotated[tuple[Text, ...], Meta(description="Globs of other budgets that it may charge.")] = ()
    routes: Annotated[
        tuple[Text, ...],
        Meta(description="Endpoints it may use, by name or path (docs/keys.md); all if empty.", examples=[["chat"]]),
    ] = ()
    admin: Annotated[bool, Meta(description="Whether it may administer, on the admin listener.")] = False
    expires: Annotated[Moment | None, Meta(description="When it stops working.", examples=["2027-01-31T00:00:00Z"])] = (
        None
    )


class KeysStoreConfig(Table, frozen=True):
    pepper: Annotated[
        Secret | None,
        Meta(
            description="What digests of keys are made with, 32 characters or more; in a file beside the store if not "
            "given. Gateways that share a store need the same.",
            examples=["$HOOSH_PEPPER"],
        ),
    ] = None
    previous_pepper: Annotated[
        Secret | None,
        Meta(description="The one before, for keys that were made with it.", examples=["$OLD_PEPPER"]),
    ] = None
    required: Annotated[
        bool, Meta(description="Whether a key is asked for even where there is none; off loopback it always is.")
    ] = False
    grace_s: Annotated[Seconds, Meta(description="How long keys are good while the store cannot be read.")] = 60.0
    failures_per_minute: Annotated[
        int,
        Meta(ge=0, le=1_000_000, description="Wrong keys that one address may show; 0 does not count them."),
    ] = 20


class AdminConfig(Table, frozen=True):
    enabled: Annotated[bool, Meta(description="Whether there is a listener for administration.")] = False
    bind: Annotated[str, Meta(description="Address that it listens on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port that it listens on; 0 takes any free one.")] = 8089
    socket: Annotated[
        Text | None,
        Meta(
            description="UNIX socket in place of TCP; whoever may open the file needs no key.",
            examples=["/run/hoosh/admin.sock"],
        ),
    ] = None
    host: Annotated[
        str,
        Meta(description="Name that it may be called by, besides loopback's.", examples=["gateway.example.com"]),
    ] = ""
