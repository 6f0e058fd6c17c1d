"""Every statement of the ledger. What is put into their texts are names of this module; values are always bound."""

from collections.abc import Sequence

from hoosh.core.ledger import UsageKey, UsageSum

# Lines that one transaction of `prune` takes out: others get their turn in between.
PRUNED_AT_ONCE = 1000

OPEN = "state IN ('held', 'sent')"  # word for word as in the partial indexes, or they are not used
CLOSED = "state NOT IN ('held', 'sent')"
_COLUMNS = (
    *("id", "state", "scopes", "held_tokens", "held_micros", "held_audio_ms"),
    *("used_tokens", "used_micros", "used_audio_ms", "gateway", "expires_ms", "reserved_ms", "settled_ms"),
    *("input", "cached", "cache_write", "output", "reasoning", "estimated", "absorbed", "cache_hit", "priced"),
    *("request_id", "key", "agent", "provider", "model", "operation", "error"),
)
LINES = f"SELECT {', '.join(_COLUMNS)} FROM lines"
# One that is there stays as it is, and only then is it looked for.
INSERT_LINE = f"INSERT OR IGNORE INTO lines ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
LAST_LINE = "SELECT MAX(rowid) FROM lines"
UPDATE_LINE = f"UPDATE lines SET {', '.join(f'{name} = ?{n}' for n, name in enumerate(_COLUMNS, 1))} WHERE id = ?1"
_BUCKET = (
    *("committed_tokens", "committed_micros", "committed_audio_ms"),
    *("overrun_tokens", "overrun_micros", "overrun_audio_ms"),
)
_METERS = ("tokens", "micros", "audio_ms")


def _adds(table: str, keys: Sequence[str], values: Sequence[str]) -> str:
    names = ", ".join((*keys, *values))
    places = ", ".join("?" * (len(keys) + len(values)))
    sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in values)
    return f"INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sums}"


ADD_BUCKET = _adds("buckets", ("pool", "bucket_s"), _BUCKET)
ADD_HOLD = _adds("holds", ("pool", "window_s"), _METERS)
ADD_USAGE = _adds("usage", UsageKey.__struct_fields__, UsageSum.__struct_fields__)

CLOCK = "SELECT epoch, wall_ms, now_ms FROM ledger"
RENEW = (
    "INSERT INTO gateways (name, until_ms, journalled) VALUES (?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET until_ms = excluded.until_ms, journalled = excluded.journalled"
)
ALIVE = "SELECT COUNT(*) FROM gateways WHERE until_ms > ?"
_IS_OVER = (
    f"{OPEN} AND CASE gateway WHEN '' THEN expires_ms <= ?1 "
    "ELSE NOT EXISTS (SELECT 1 FROM gateways WHERE name = gateway AND until_ms > ?1) END"
)
OVER = f"{LINES} WHERE {_IS_OVER}"
DEAD = "SELECT name FROM gateways WHERE until_ms <= ?1 AND NOT journalled"
DUE = f"SELECT 1 WHERE EXISTS (SELECT 1 FROM lines WHERE {_IS_OVER}) OR EXISTS ({DEAD})"
COMMITTED = (
    "SELECT SUM(committed_tokens), SUM(committed_micros), SUM(committed_audio_ms) "
    "FROM buckets WHERE pool = ?1 AND bucket_s >= ?2"
)
# What counts against a ceiling, but for the lease of one gateway: bookings, leases and the store's own holds.
TAKEN = """
SELECT SUM(a), SUM(b), SUM(c) FROM (
    SELECT committed_tokens AS a, committed_micros AS b, committed_audio_ms AS c
    FROM buckets WHERE pool = ?1 AND bucket_s >= ?2
    UNION ALL
    SELECT granted_tokens, granted_micros, granted_audio_ms
    FROM leases WHERE pool = ?1 AND window_s = ?3 AND gateway IS NOT ?4
    UNION ALL
    SELECT tokens, micros, audio_ms FROM holds WHERE pool = ?1 AND window_s = ?3
)
"""
MINE = (
    "SELECT granted_tokens, granted_micros, granted_audio_ms, recalled "
    "FROM leases WHERE pool = ? AND window_s = ? AND gateway = ?"
)
IDLE = (
    "SELECT SUM(granted_tokens - active_tokens), SUM(granted_micros - active_micros), "
    "SUM(granted_audio_ms - active_audio_ms) FROM leases WHERE pool = ? AND window_s = ? AND gateway <> ?"
)
RECALL = "UPDATE leases SET recalled = 1 WHERE pool = ? AND window_s = ? AND gateway <> ?"
GRANT = (
    "INSERT OR REPLACE INTO leases (pool, window_s, gateway, granted_tokens, granted_micros, granted_audio_ms, "
    "active_tokens, active_micros, active_audio_ms, recalled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
)
RECALLED = "SELECT pool, window_s FROM leases WHERE gateway = ? AND recalled = 1 ORDER BY pool, window_s"
LEASED = (
    "SELECT granted_tokens, granted_micros, granted_audio_ms, "
    "EXISTS (SELECT 1 FROM gateways WHERE name = gateway AND until_ms > ?3) "
    "FROM leases WHERE pool = ?1 AND window_s = ?2"
)
HELD = f"SELECT scopes, SUM(held_tokens), SUM(held_micros), SUM(held_audio_ms) FROM lines WHERE {OPEN} GROUP BY scopes"
SPENT = "SELECT scopes, SUM(used_tokens), SUM(used_micros), SUM(used_audio_ms) FROM lines GROUP BY scopes"
USAGE = (
    f"SELECT {', '.join((*UsageKey.__struct_fields__, *UsageSum.__struct_fields__))} FROM usage "
    "WHERE day_s >= ? AND day_s < ?"
)
OLD = (
    f"SELECT rowid, scopes, used_tokens, used_micros, used_audio_ms FROM lines WHERE {CLOSED} "
    f"AND settled_ms < ? ORDER BY settled_ms LIMIT {PRUNED_AT_ONCE}"
)
PRUNE = (
    "UPDATE buckets SET pruned_tokens = pruned_tokens + ?, pruned_micros = pruned_micros + ?, "
    "pruned_audio_ms = pruned_audio_ms + ? WHERE pool = ? AND bucket_s = ?"
)
