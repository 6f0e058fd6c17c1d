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

MIGRATIONS: tuple[Migration, ...] = (_RECORDS,)
