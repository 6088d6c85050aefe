-- +goose Up

-- Schedules with a cron expression and a time zone. After next_run_at has passed, the sweep enqueues a job of the kind.
CREATE TABLE schedules (
    id integer PRIMARY KEY,
    name text NOT NULL UNIQUE,
    kind text NOT NULL,
    cron text NOT NULL,
    zone text NOT NULL,
    next_run_at timestamp NOT NULL,
    last_run_at timestamp
);
CREATE INDEX schedules_next_run_at ON schedules (next_run_at);

-- One row that Ping writes after a failed write, to check whether the database accepts writes again.
CREATE TABLE probe (
    id integer PRIMARY KEY CHECK (id = 1),
    at timestamp NOT NULL
);

-- A mark of the keyset of this database, as a keyed hash and as a ciphertext.
CREATE TABLE keyset (
    id bigint PRIMARY KEY CHECK (id = 1),
    mark text NOT NULL,
    sealed_mark blob NOT NULL
);
