-- +goose Up

-- A schedule is a cron expression with a zone; the sweep enqueues a job of its kind when next_run_at has passed.
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

-- One row that Ping rewrites to learn whether a database that refused a write takes writes again.
CREATE TABLE probe (
    id integer PRIMARY KEY CHECK (id = 1),
    at timestamp NOT NULL
);

-- A mark of the keyset that this database is written with, hashed and sealed.
CREATE TABLE keyset (
    id bigint PRIMARY KEY CHECK (id = 1),
    mark text NOT NULL,
    sealed_mark blob NOT NULL
);
