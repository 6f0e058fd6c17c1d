"""What makes `hoosh.db`, in order and forward only: what was once released is never changed, only followed.

A file's `PRAGMA user_version` says how many of these it has had. One migration is one transaction of its statements.
"""

Migration = tuple[str, ...]

_RECORDS: Migration = (
    """
    CREATE TABLE records (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (kind, id)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO meta (name, value) VALUES ('records_version', 0)",
)


def _amount(name: str) -> str:
    return ", ".join(f"{name}{meter} INTEGER NOT NULL DEFAULT 0" for meter in ("tokens", "micros", "audio_ms"))


# No WITHOUT ROWID for lines: it would spread their rows over the whole file where ids do not come in order.
_LEDGER: Migration = (
    """
    CREATE TABLE ledger (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        epoch TEXT NOT NULL,
        wall_ms INTEGER NOT NULL,
        now_ms INTEGER NOT NULL
    )
    """,
    "INSERT INTO ledger VALUES (1, lower(hex(randomblob(16))), 0, 0)",
    "CREATE TABLE gateways (name TEXT PRIMARY KEY, until_ms INTEGER NOT NULL, journalled INTEGER NOT NULL)",
    f"""
    CREATE TABLE lines (
        id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        scopes TEXT NOT NULL,
        {_amount("held_")},
        {_amount("used_")},
        gateway TEXT NOT NULL,
        expires_ms INTEGER NOT NULL,
        reserved_ms INTEGER NOT NULL,
        settled_ms INTEGER NOT NULL,
        input INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        cache_write INTEGER NOT NULL,
        output INTEGER NOT NULL,
        reasoning INTEGER NOT NULL,
        estimated INTEGER NOT NULL,
        absorbed INTEGER NOT NULL,
        cache_hit INTEGER NOT NULL,
        priced TEXT NOT NULL,
        request_id TEXT NOT NULL,
        key TEXT NOT NULL,
        agent TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        operation TEXT NOT NULL,
        error TEXT NOT NULL
    )
    """,
    "CREATE INDEX lines_open ON lines (gateway) WHERE state IN ('held', 'sent')",
    "CREATE INDEX lines_closed ON lines (settled_ms) WHERE state NOT IN ('held', 'sent')",
    f"""
    CREATE TABLE buckets (
        pool TEXT NOT NULL,
        bucket_s INTEGER NOT NULL,
        {_amount("committed_")},
        {_amount("overrun_")},
        {_amount("pruned_")},
        PRIMARY KEY (pool, bucket_s)
    ) WITHOUT ROWID
    """,
    f"""
    CREATE TABLE holds (
        pool TEXT NOT NULL,
        window_s INTEGER NOT NULL,
        {_amount("")},
        PRIMARY KEY (pool, window_s)
    ) WITHOUT ROWID
    """,
    f"""
    CREATE TABLE leases (
        pool TEXT NOT NULL,
        window_s INTEGER NOT NULL,
        gateway TEXT NOT NULL,
        {_amount("granted_")},
        {_amount("active_")},
        recalled INTEGER NOT NULL,
        PRIMARY KEY (pool, window_s, gateway)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX leases_recalled ON leases (gateway) WHERE recalled = 1",
    f"""
    CREATE TABLE carried (
        pool TEXT NOT NULL,
        bucket_s INTEGER NOT NULL,
        {_amount("")},
        PRIMARY KEY (pool, bucket_s)
    ) WITHOUT ROWID
    """,
    f"""
    CREATE TABLE usage (
        day_s INTEGER NOT NULL,
        key TEXT NOT NULL,
        agent TEXT NOT NULL,
        pool TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        operation TEXT NOT NULL,
        calls INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        cache_hits INTEGER NOT NULL,
        estimated INTEGER NOT NULL,
        unpriced INTEGER NOT NULL,
        input INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        cache_write INTEGER NOT NULL,
        output INTEGER NOT NULL,
        reasoning INTEGER NOT NULL,
        {_amount("")},
        PRIMARY KEY (day_s, key, agent, pool, provider, model, operation)
    ) WITHOUT ROWID
    """,
)

MIGRATIONS: tuple[Migration, ...] = (_RECORDS, _LEDGER)
