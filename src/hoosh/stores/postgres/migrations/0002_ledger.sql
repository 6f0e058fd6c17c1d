-- The rules are those of hoosh.core.booking, word for word; the contract is hoosh.ports.Ledger.

CREATE TABLE ledger (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch text NOT NULL,
    wall_ms bigint NOT NULL,
    now_ms bigint NOT NULL
);

INSERT INTO ledger (epoch, wall_ms, now_ms) VALUES (replace(gen_random_uuid()::text, '-', ''), 0, 0);

CREATE TABLE gateways (
    name text PRIMARY KEY,
    until_ms bigint NOT NULL,
    journalled boolean NOT NULL
);

CREATE TABLE lines (
    id text PRIMARY KEY,
    state text NOT NULL,
    scopes jsonb NOT NULL,
    held_tokens bigint NOT NULL,
    held_micros bigint NOT NULL,
    held_audio_ms bigint NOT NULL,
    used_tokens bigint NOT NULL,
    used_micros bigint NOT NULL,
    used_audio_ms bigint NOT NULL,
    gateway text NOT NULL,
    expires_ms bigint NOT NULL,
    reserved_ms bigint NOT NULL,
    settled_ms bigint NOT NULL,
    input bigint NOT NULL,
    cached bigint NOT NULL,
    cache_write bigint NOT NULL,
    output bigint NOT NULL,
    reasoning bigint NOT NULL,
    estimated boolean NOT NULL,
    absorbed boolean NOT NULL,
    cache_hit boolean NOT NULL,
    priced text NOT NULL,
    request_id text NOT NULL,
    key text NOT NULL,
    agent text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    operation text NOT NULL,
    error text NOT NULL
);

CREATE INDEX lines_open ON lines (gateway) WHERE state IN ('held', 'sent');
CREATE INDEX lines_closed ON lines (settled_ms) WHERE state NOT IN ('held', 'sent');

CREATE TABLE buckets (
    pool text NOT NULL,
    bucket_s bigint NOT NULL,
    committed_tokens bigint NOT NULL DEFAULT 0,
    committed_micros bigint NOT NULL DEFAULT 0,
    committed_audio_ms bigint NOT NULL DEFAULT 0,
    overrun_tokens bigint NOT NULL DEFAULT 0,
    overrun_micros bigint NOT NULL DEFAULT 0,
    overrun_audio_ms bigint NOT NULL DEFAULT 0,
    pruned_tokens bigint NOT NULL DEFAULT 0,
    pruned_micros bigint NOT NULL DEFAULT 0,
    pruned_audio_ms bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, bucket_s)
);

-- What open lines without a gateway hold, summed up.
CREATE TABLE holds (
    pool text NOT NULL,
    window_s bigint NOT NULL,
    tokens bigint NOT NULL,
    micros bigint NOT NULL,
    audio_ms bigint NOT NULL,
    PRIMARY KEY (pool, window_s)
);

CREATE TABLE leases (
    pool text NOT NULL,
    window_s bigint NOT NULL,
    gateway text NOT NULL,
    granted_tokens bigint NOT NULL,
    granted_micros bigint NOT NULL,
    granted_audio_ms bigint NOT NULL,
    active_tokens bigint NOT NULL,
    active_micros bigint NOT NULL,
    active_audio_ms bigint NOT NULL,
    recalled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (pool, window_s, gateway)
);

CREATE TABLE carried (
    pool text NOT NULL,
    bucket_s bigint NOT NULL,
    tokens bigint NOT NULL,
    micros bigint NOT NULL,
    audio_ms bigint NOT NULL,
    PRIMARY KEY (pool, bucket_s)
);

CREATE TABLE usage (
    day_s bigint NOT NULL,
    key text NOT NULL,
    agent text NOT NULL,
    pool text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    operation text NOT NULL,
    calls bigint NOT NULL,
    attempts bigint NOT NULL,
    cache_hits bigint NOT NULL,
    estimated bigint NOT NULL,
    unpriced bigint NOT NULL,
    input bigint NOT NULL,
    cached bigint NOT NULL,
    cache_write bigint NOT NULL,
    output bigint NOT NULL,
    reasoning bigint NOT NULL,
    tokens bigint NOT NULL,
    micros bigint NOT NULL,
    audio_ms bigint NOT NULL,
    PRIMARY KEY (day_s, key, agent, pool, provider, model, operation)
);

-- Time. The server's clock, made to run forwards only, as in hoosh.stores.sqlite.ledger.

CREATE FUNCTION machine_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

CREATE FUNCTION time_ms(machine bigint, last_machine bigint, last bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN machine >= last THEN machine ELSE last + greatest(0, machine / 2 - last_machine / 2) END
$$;

CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT time_ms(machine_ms(), wall_ms, now_ms) FROM ledger
$$;

-- Begins every step that writes. The lock on this one row makes the steps of all gateways wait for each other, so what
-- a step has read stays true until it is committed.
CREATE FUNCTION tick() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    told bigint;
BEGIN
    UPDATE ledger SET (wall_ms, now_ms) = (
        SELECT machine, time_ms(machine, ledger.wall_ms, ledger.now_ms) FROM machine_ms() AS machine
    ) RETURNING now_ms INTO told;
    RETURN told;
END $$;

-- Lines

CREATE FUNCTION rank_of(state text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE state
        WHEN 'held' THEN 0 WHEN 'sent' THEN 1 WHEN 'estimated' THEN 2 WHEN 'voided' THEN 3 WHEN 'committed' THEN 4
    END
$$;

CREATE FUNCTION book(told lines[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    booked bigint;
BEGIN
    WITH news AS MATERIALIZED (
        SELECT
            ROW(
                t.id, t.state, coalesce(k.scopes, t.scopes),
                CASE WHEN rank_of(k.state) >= 2 THEN k.held_tokens ELSE greatest(k.held_tokens, t.held_tokens) END,
                CASE WHEN rank_of(k.state) >= 2 THEN k.held_micros ELSE greatest(k.held_micros, t.held_micros) END,
                CASE WHEN rank_of(k.state) >= 2 THEN k.held_audio_ms ELSE greatest(k.held_audio_ms, t.held_audio_ms) END,
                t.used_tokens, t.used_micros, t.used_audio_ms,
                coalesce(k.gateway, t.gateway), coalesce(k.expires_ms, t.expires_ms),
                coalesce(k.reserved_ms, t.reserved_ms), t.settled_ms,
                t.input, t.cached, t.cache_write, t.output, t.reasoning, t.estimated, t.absorbed, t.cache_hit,
                t.priced, t.request_id, t.key, t.agent, t.provider, t.model, t.operation, t.error
            )::lines AS line,
            k AS was,
            k.id IS NOT NULL AS is_known,
            rank_of(t.state) >= 2 AS is_closed
        FROM unnest(told) AS t LEFT JOIN lines AS k ON k.id = t.id
        WHERE k.id IS NULL
            OR rank_of(t.state) > rank_of(k.state)
            OR (rank_of(t.state) = rank_of(k.state) AND rank_of(t.state) < 2)
    ),
    kept AS (
        INSERT INTO lines SELECT (line).* FROM news
        ON CONFLICT (id) DO UPDATE SET
            state = excluded.state, held_tokens = excluded.held_tokens, held_micros = excluded.held_micros,
            held_audio_ms = excluded.held_audio_ms, used_tokens = excluded.used_tokens,
            used_micros = excluded.used_micros, used_audio_ms = excluded.used_audio_ms,
            settled_ms = excluded.settled_ms, input = excluded.input, cached = excluded.cached,
            cache_write = excluded.cache_write, output = excluded.output, reasoning = excluded.reasoning,
            estimated = excluded.estimated, absorbed = excluded.absorbed, cache_hit = excluded.cache_hit,
            priced = excluded.priced, request_id = excluded.request_id, key = excluded.key, agent = excluded.agent,
            provider = excluded.provider, model = excluded.model, operation = excluded.operation, error = excluded.error
    ),
    moved AS MATERIALIZED (
        SELECT 1 AS sign, line, is_closed FROM news
        UNION ALL
        SELECT -1, was, is_closed FROM news WHERE is_known
    ),
    held AS (
        INSERT INTO holds (pool, window_s, tokens, micros, audio_ms)
        SELECT
            scope ->> 0, (scope ->> 2)::bigint, sum(sign * (line).held_tokens), sum(sign * (line).held_micros),
            sum(sign * (line).held_audio_ms)
        FROM moved, jsonb_array_elements((line).scopes) AS scope
        WHERE rank_of((line).state) < 2 AND (line).gateway = ''
        GROUP BY 1, 2
        ON CONFLICT (pool, window_s) DO UPDATE SET
            tokens = holds.tokens + excluded.tokens,
            micros = holds.micros + excluded.micros,
            audio_ms = holds.audio_ms + excluded.audio_ms
    ),
    charged AS (
        INSERT INTO buckets (
            pool, bucket_s, committed_tokens, committed_micros, committed_audio_ms,
            overrun_tokens, overrun_micros, overrun_audio_ms
        )
        SELECT
            scope ->> 0, (scope ->> 1)::bigint,
            sum((line).used_tokens - coalesce((was).used_tokens, 0)),
            sum((line).used_micros - coalesce((was).used_micros, 0)),
            sum((line).used_audio_ms - coalesce((was).used_audio_ms, 0)),
            sum(greatest(0, (line).used_tokens - (line).held_tokens)
                - greatest(0, (was).used_tokens - (line).held_tokens)),
            sum(greatest(0, (line).used_micros - (line).held_micros)
                - greatest(0, (was).used_micros - (line).held_micros)),
            sum(greatest(0, (line).used_audio_ms - (line).held_audio_ms)
                - greatest(0, (was).used_audio_ms - (line).held_audio_ms))
        FROM news, jsonb_array_elements((line).scopes) AS scope
        WHERE is_closed
        GROUP BY 1, 2
        ON CONFLICT (pool, bucket_s) DO UPDATE SET
            committed_tokens = buckets.committed_tokens + excluded.committed_tokens,
            committed_micros = buckets.committed_micros + excluded.committed_micros,
            committed_audio_ms = buckets.committed_audio_ms + excluded.committed_audio_ms,
            overrun_tokens = buckets.overrun_tokens + excluded.overrun_tokens,
            overrun_micros = buckets.overrun_micros + excluded.overrun_micros,
            overrun_audio_ms = buckets.overrun_audio_ms + excluded.overrun_audio_ms
    ),
    counted AS (
        INSERT INTO usage
        SELECT
            (line).reserved_ms / 86400000 * 86400, (line).key, (line).agent, (line).scopes -> 0 ->> 0, (line).provider,
            (line).model, (line).operation, sum(sign * (NOT (line).absorbed)::integer), sum(sign),
            sum(sign * (line).cache_hit::integer), sum(sign * (line).estimated::integer),
            sum(sign * ((line).priced = 'unknown')::integer), sum(sign * (line).input), sum(sign * (line).cached),
            sum(sign * (line).cache_write), sum(sign * (line).output), sum(sign * (line).reasoning),
            sum(sign * (line).used_tokens), sum(sign * (line).used_micros), sum(sign * (line).used_audio_ms)
        FROM moved
        WHERE is_closed AND CASE sign WHEN 1 THEN (line).state <> 'voided' ELSE (line).state = 'estimated' END
        GROUP BY 1, 2, 3, 4, 5, 6, 7
        ON CONFLICT (day_s, key, agent, pool, provider, model, operation) DO UPDATE SET
            calls = usage.calls + excluded.calls,
            attempts = usage.attempts + excluded.attempts,
            cache_hits = usage.cache_hits + excluded.cache_hits,
            estimated = usage.estimated + excluded.estimated,
            unpriced = usage.unpriced + excluded.unpriced,
            input = usage.input + excluded.input,
            cached = usage.cached + excluded.cached,
            cache_write = usage.cache_write + excluded.cache_write,
            output = usage.output + excluded.output,
            reasoning = usage.reasoning + excluded.reasoning,
            tokens = usage.tokens + excluded.tokens,
            micros = usage.micros + excluded.micros,
            audio_ms = usage.audio_ms + excluded.audio_ms
    )
    SELECT count(*) FROM news INTO booked;
END $$;

-- Of lines as msgspec writes a hoosh.core.ledger.Line.
CREATE FUNCTION lines_of(told jsonb) RETURNS lines[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(ROW(
        t ->> 0, t ->> 1, t -> 2, (t #>> '{3,0}')::bigint, (t #>> '{3,1}')::bigint, (t #>> '{3,2}')::bigint,
        (t #>> '{4,0}')::bigint, (t #>> '{4,1}')::bigint, (t #>> '{4,2}')::bigint, t ->> 5, (t ->> 6)::bigint,
        (t ->> 7)::bigint, (t ->> 8)::bigint, (t ->> 9)::bigint, (t ->> 10)::bigint, (t ->> 11)::bigint,
        (t ->> 12)::bigint, (t ->> 13)::bigint, (t ->> 14)::boolean, (t ->> 15)::boolean, (t ->> 16)::boolean,
        t ->> 17, t ->> 18, t ->> 19, t ->> 20, t ->> 21, t ->> 22, t ->> 23, t ->> 24
    )::lines) FROM jsonb_array_elements(told) AS t
$$;

CREATE FUNCTION json_of(l lines) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_array(
        l.id, l.state, l.scopes, jsonb_build_array(l.held_tokens, l.held_micros, l.held_audio_ms),
        jsonb_build_array(l.used_tokens, l.used_micros, l.used_audio_ms), l.gateway, l.expires_ms, l.reserved_ms,
        l.settled_ms, l.input, l.cached, l.cache_write, l.output, l.reasoning, l.estimated, l.absorbed, l.cache_hit,
        l.priced, l.request_id, l.key, l.agent, l.provider, l.model, l.operation, l.error
    )
$$;

-- What becomes of an open line whose time is over.
CREATE FUNCTION expired(l lines, at_ms bigint) RETURNS lines LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF l.state = 'held' THEN
        l.state := 'voided';
    ELSE
        l.state := 'estimated';
        l.used_tokens := l.held_tokens;
        l.used_micros := l.held_micros;
        l.used_audio_ms := l.held_audio_ms;
        l.estimated := true;
        l.error := 'lost';
    END IF;
    l.settled_ms := at_ms;
    RETURN l;
END $$;

-- Leases. Amounts are arrays of {tokens, micros, audio_ms}; -1 in a ceiling is none.

CREATE FUNCTION amount_of(told jsonb) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[(told ->> 0)::bigint, (told ->> 1)::bigint, (told ->> 2)::bigint]
$$;

CREATE FUNCTION remaining(ceiling bigint[], taken bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(CASE m.most WHEN -1 THEN -1 ELSE greatest(0, m.most - m.part) END ORDER BY m.n)
    FROM unnest(ceiling, taken) WITH ORDINALITY AS m (most, part, n)
$$;

CREATE FUNCTION taken(wanted_pool text, wanted_window_s bigint, since_s bigint, but_gateway text) RETURNS bigint[]
LANGUAGE sql STABLE AS $$
    SELECT ARRAY[coalesce(sum(a), 0), coalesce(sum(b), 0), coalesce(sum(c), 0)]::bigint[] FROM (
        SELECT committed_tokens AS a, committed_micros AS b, committed_audio_ms AS c FROM buckets
        WHERE pool = wanted_pool AND bucket_s >= since_s
        UNION ALL
        SELECT granted_tokens, granted_micros, granted_audio_ms FROM leases
        WHERE pool = wanted_pool AND window_s = wanted_window_s AND gateway <> but_gateway
        UNION ALL
        SELECT tokens, micros, audio_ms FROM holds WHERE pool = wanted_pool AND window_s = wanted_window_s
    ) AS parts
$$;

CREATE FUNCTION lease(me text, wish jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    in_pool text := wish ->> 0;
    in_window_s bigint := (wish ->> 1)::bigint;
    ceiling bigint[] := amount_of(wish -> 3);
    active bigint[] := amount_of(wish -> 6);
    rest bigint[] := remaining(ceiling, taken(in_pool, in_window_s, (wish ->> 2)::bigint, me));
    mine leases;
    granted bigint[];
    idle bigint[];
BEGIN
    SELECT * FROM leases WHERE pool = in_pool AND window_s = in_window_s AND gateway = me INTO mine;
    SELECT array_agg(
        CASE m.most WHEN -1 THEN 0 ELSE greatest(least(m.before, m.keep), least(m.want, m.part)) END ORDER BY m.n
    ) FROM unnest(
        ceiling,
        ARRAY[coalesce(mine.granted_tokens, 0), coalesce(mine.granted_micros, 0), coalesce(mine.granted_audio_ms, 0)],
        amount_of(wish -> 4), amount_of(wish -> 5), rest
    ) WITH ORDINALITY AS m (most, before, keep, want, part, n) INTO granted;
    SELECT ARRAY[
        greatest(0, coalesce(sum(granted_tokens - active_tokens), 0)),
        greatest(0, coalesce(sum(granted_micros - active_micros), 0)),
        greatest(0, coalesce(sum(granted_audio_ms - active_audio_ms), 0))
    ] FROM leases WHERE pool = in_pool AND window_s = in_window_s AND gateway <> me INTO idle;
    IF (wish ->> 7)::boolean THEN
        UPDATE leases SET recalled = true WHERE pool = in_pool AND window_s = in_window_s AND gateway <> me;
    END IF;
    IF granted <> '{0,0,0}' THEN
        INSERT INTO leases VALUES (
            in_pool, in_window_s, me, granted[1], granted[2], granted[3], active[1], active[2], active[3]
        ) ON CONFLICT (pool, window_s, gateway) DO UPDATE SET
            granted_tokens = excluded.granted_tokens, granted_micros = excluded.granted_micros,
            granted_audio_ms = excluded.granted_audio_ms, active_tokens = excluded.active_tokens,
            active_micros = excluded.active_micros, active_audio_ms = excluded.active_audio_ms, recalled = false;
    ELSIF mine.pool IS NOT NULL THEN
        DELETE FROM leases WHERE pool = in_pool AND window_s = in_window_s AND gateway = me;
    END IF;
    RETURN jsonb_build_array(
        in_pool, in_window_s, granted, remaining(rest, granted), idle, coalesce(mine.recalled, false)
    );
END $$;

-- What others want back of leases that the batch did not name; said once.
CREATE FUNCTION recalled(me text, wishes jsonb) RETURNS jsonb LANGUAGE sql AS $$
    WITH told AS (
        UPDATE leases SET recalled = false WHERE gateway = me AND leases.recalled AND NOT EXISTS (
            SELECT FROM jsonb_array_elements(wishes) AS wish
            WHERE wish ->> 0 = leases.pool AND (wish ->> 1)::bigint = leases.window_s
        ) RETURNING pool, window_s
    )
    SELECT coalesce(jsonb_agg(jsonb_build_array(pool, window_s) ORDER BY pool, window_s), '[]') FROM told
$$;

-- The steps

-- `waves` are arrays of lines, none of which names a line twice: what is told twice is in different ones. The answer
-- is a hoosh.core.ledger.Reply, or NULL where `wanted_epoch` is not the ledger's.
CREATE FUNCTION sync(me text, wanted_epoch text, lease_ms bigint, journalled boolean, waves jsonb, wishes jsonb)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    at_ms bigint := tick();
    wave jsonb;
    wish jsonb;
    granted jsonb := '[]';
    given_back jsonb;
    alive bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM ledger WHERE epoch = wanted_epoch) THEN
        RETURN NULL;
    END IF;
    INSERT INTO gateways VALUES (me, at_ms + lease_ms, journalled)
    ON CONFLICT (name) DO UPDATE SET until_ms = excluded.until_ms, journalled = excluded.journalled;
    FOR wave IN SELECT * FROM jsonb_array_elements(waves) LOOP
        PERFORM book(lines_of(wave));
    END LOOP;
    FOR wish IN SELECT * FROM jsonb_array_elements(wishes) LOOP
        granted := granted || jsonb_build_array(lease(me, wish));
    END LOOP;
    given_back := recalled(me, wishes);
    SELECT count(*) FROM gateways WHERE until_ms > at_ms INTO alive;
    RETURN jsonb_build_array(at_ms, alive, granted, given_back);
END $$;

CREATE FUNCTION is_over(l lines, at_ms bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE l.gateway
        WHEN '' THEN l.expires_ms <= at_ms
        ELSE NOT EXISTS (SELECT FROM gateways AS g WHERE g.name = l.gateway AND g.until_ms > at_ms)
    END
$$;

-- Mostly there is nothing to do, and then nothing is written.
CREATE FUNCTION sweep() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    at_ms bigint := now_ms();
    over lines[];
BEGIN
    IF NOT EXISTS (SELECT FROM lines AS l WHERE l.state IN ('held', 'sent') AND is_over(l, at_ms))
        AND NOT EXISTS (SELECT FROM gateways WHERE until_ms <= at_ms AND NOT journalled)
    THEN
        RETURN 0;
    END IF;
    at_ms := tick();
    SELECT array_agg(expired(l, at_ms)) FROM lines AS l WHERE l.state IN ('held', 'sent') AND is_over(l, at_ms)
    INTO over;
    PERFORM book(over);
    DELETE FROM leases USING gateways AS g WHERE g.name = gateway AND g.until_ms <= at_ms AND NOT g.journalled;
    DELETE FROM gateways WHERE until_ms <= at_ms AND NOT journalled;
    DELETE FROM holds WHERE tokens = 0 AND micros = 0 AND audio_ms = 0;
    RETURN coalesce(cardinality(over), 0);
END $$;

CREATE FUNCTION reconcile(dead text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    at_ms bigint := tick();
BEGIN
    PERFORM book((
        SELECT array_agg(expired(l, at_ms)) FROM lines AS l WHERE l.state IN ('held', 'sent') AND l.gateway = dead
    ));
    DELETE FROM leases WHERE gateway = dead;
    DELETE FROM gateways WHERE name = dead;
END $$;

CREATE FUNCTION carry(in_pool text, in_bucket_s bigint, extra jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    stands carried;
BEGIN
    INSERT INTO carried VALUES (in_pool, in_bucket_s, (extra ->> 0)::bigint, (extra ->> 1)::bigint, (extra ->> 2)::bigint)
    ON CONFLICT DO NOTHING;
    SELECT * FROM carried WHERE pool = in_pool AND bucket_s = in_bucket_s INTO stands;
    RETURN jsonb_build_array(stands.tokens, stands.micros, stands.audio_ms);
END $$;

-- Closed lines, the oldest first, a thousand at most, so that others get their turn.
CREATE FUNCTION prune(before_ms bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    pruned bigint;
BEGIN
    PERFORM tick();
    WITH old AS (
        DELETE FROM lines WHERE id IN (
            SELECT id FROM lines WHERE state NOT IN ('held', 'sent') AND settled_ms < before_ms
            ORDER BY settled_ms LIMIT 1000
        ) RETURNING scopes, used_tokens, used_micros, used_audio_ms
    ),
    gone AS (
        SELECT scope ->> 0 AS pool, (scope ->> 1)::bigint AS bucket_s, sum(used_tokens)::bigint AS tokens,
            sum(used_micros)::bigint AS micros, sum(used_audio_ms)::bigint AS audio_ms
        FROM old, jsonb_array_elements(scopes) AS scope GROUP BY 1, 2
    ),
    kept AS (
        UPDATE buckets SET
            pruned_tokens = pruned_tokens + gone.tokens,
            pruned_micros = pruned_micros + gone.micros,
            pruned_audio_ms = pruned_audio_ms + gone.audio_ms
        FROM gone WHERE buckets.pool = gone.pool AND buckets.bucket_s = gone.bucket_s
    )
    SELECT count(*) FROM old INTO pruned;
    RETURN pruned;
END $$;

-- Questions: each sees one moment.

CREATE FUNCTION standing(in_pool text, since_s bigint, in_window_s bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(
        (
            SELECT jsonb_build_array(
                coalesce(sum(committed_tokens), 0), coalesce(sum(committed_micros), 0),
                coalesce(sum(committed_audio_ms), 0)
            ) FROM buckets WHERE pool = in_pool AND bucket_s >= since_s
        ),
        (
            SELECT jsonb_build_array(
                coalesce(sum(held_tokens), 0), coalesce(sum(held_micros), 0), coalesce(sum(held_audio_ms), 0)
            ) FROM lines, jsonb_array_elements(scopes) AS scope
            WHERE state IN ('held', 'sent') AND scope ->> 0 = in_pool AND (scope ->> 2)::bigint = in_window_s
        ),
        jsonb_build_array(
            coalesce(sum(granted_tokens), 0), coalesce(sum(granted_micros), 0), coalesce(sum(granted_audio_ms), 0)
        ),
        jsonb_build_array(
            coalesce(sum(granted_tokens) FILTER (WHERE is_dead), 0),
            coalesce(sum(granted_micros) FILTER (WHERE is_dead), 0),
            coalesce(sum(granted_audio_ms) FILTER (WHERE is_dead), 0)
        )
    ) FROM (
        SELECT leases.*, NOT EXISTS (
            SELECT FROM gateways WHERE name = gateway AND until_ms > now_ms()
        ) AS is_dead FROM leases WHERE pool = in_pool AND window_s = in_window_s
    ) AS told
$$;

-- A hoosh.core.ledger.Audit.
CREATE FUNCTION audit() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'now_ms', now_ms(),
        'books', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'pool', b.pool, 'bucket_s', b.bucket_s,
                'committed', jsonb_build_array(committed_tokens, committed_micros, committed_audio_ms),
                'overrun', jsonb_build_array(overrun_tokens, overrun_micros, overrun_audio_ms),
                'lines', jsonb_build_array(
                    pruned_tokens + coalesce(s.tokens, 0), pruned_micros + coalesce(s.micros, 0),
                    pruned_audio_ms + coalesce(s.audio_ms, 0)
                )
            )), '[]')
            FROM buckets AS b LEFT JOIN (
                SELECT scope ->> 0 AS pool, (scope ->> 1)::bigint AS bucket_s, sum(used_tokens) AS tokens,
                    sum(used_micros) AS micros, sum(used_audio_ms) AS audio_ms
                FROM lines, jsonb_array_elements(scopes) AS scope GROUP BY 1, 2
            ) AS s USING (pool, bucket_s)
        ),
        'leases', (
            SELECT coalesce(jsonb_agg(jsonb_build_array(
                gateway, pool, window_s, jsonb_build_array(granted_tokens, granted_micros, granted_audio_ms)
            )), '[]') FROM leases
        ),
        'open_lines', (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', id, 'state', state, 'gateway', gateway, 'scopes', scopes,
                'held', jsonb_build_array(held_tokens, held_micros, held_audio_ms),
                'until_ms', CASE gateway WHEN '' THEN expires_ms ELSE coalesce(until_ms, 0) END
            )), '[]') FROM lines LEFT JOIN gateways ON name = gateway WHERE state IN ('held', 'sent')
        )
    )
$$;
