CREATE TABLE records (
    kind text NOT NULL,
    id text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE records_version (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL
);

INSERT INTO records_version (version) VALUES (0);

CREATE FUNCTION put_record(wanted_kind text, wanted_id text, wanted_body bytea) RETURNS void LANGUAGE sql AS $$
    UPDATE records_version SET version = version + 1;
    INSERT INTO records (kind, id, body) VALUES (wanted_kind, wanted_id, wanted_body)
    ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body;
$$;

CREATE FUNCTION drop_record(wanted_kind text, wanted_id text) RETURNS boolean LANGUAGE sql AS $$
    WITH dropped AS (DELETE FROM records WHERE kind = wanted_kind AND id = wanted_id RETURNING 1),
    counted AS (UPDATE records_version SET version = version + 1 WHERE EXISTS (SELECT FROM dropped))
    SELECT EXISTS (SELECT FROM dropped);
$$;
