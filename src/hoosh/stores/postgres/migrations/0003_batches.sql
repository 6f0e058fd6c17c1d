-- Files that clients leave here, and batches of requests that are read from them (stores/batches.py).

CREATE TABLE files (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    owner text NOT NULL,
    name text NOT NULL,
    purpose text NOT NULL,
    size_bytes bigint NOT NULL,
    created_s bigint NOT NULL,
    expires_s bigint NOT NULL,
    ready bigint NOT NULL
);

CREATE INDEX files_owner ON files (owner, seq);

CREATE TABLE file_pieces (
    file_id text NOT NULL,
    n bigint NOT NULL,
    data bytea NOT NULL,
    UNIQUE (file_id, n)
);

CREATE TABLE batches (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text NOT NULL UNIQUE,
    owner text NOT NULL,
    input_file_id text NOT NULL,
    created_s bigint NOT NULL,
    status text NOT NULL,
    runner text NOT NULL,
    cancelling_s bigint NOT NULL,
    size_bytes bigint NOT NULL,
    body bytea NOT NULL
);

CREATE INDEX batches_owner ON batches (owner, seq);
CREATE INDEX batches_status ON batches (status);

CREATE TABLE batch_lines (
    batch_id text NOT NULL,
    n bigint NOT NULL,
    part bigint NOT NULL,
    tokens bigint NOT NULL,
    micros bigint NOT NULL,
    state bigint NOT NULL,
    data bytea NOT NULL,
    UNIQUE (batch_id, n)
);

CREATE INDEX batch_lines_state ON batch_lines (batch_id, state, n);
