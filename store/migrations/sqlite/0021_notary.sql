-- +goose Up

-- The notary is an append-only log over the whole instance, see the package notary.
--
-- Changed rows that the log does not record yet, one row for each transaction. changes lists the subjects with the ids of
-- their rows. mac authenticates id and changes, so that only a bot with the keyset can add a row. An id is used once.
CREATE TABLE notary_outbox (
    id integer PRIMARY KEY AUTOINCREMENT,
    changes text NOT NULL,
    mac blob NOT NULL
);

-- The leaves of the log, which hold keyed commitments instead of contents. hashes are the hashes of the subtrees that the
-- leaf completes, 32 bytes each, from the leaf's own hash up.
CREATE TABLE notary_leaves (
    n bigint PRIMARY KEY,
    leaf blob NOT NULL,
    hashes blob NOT NULL
);

-- Signed checkpoints of the log. published_at is the time at which one left the machine.
CREATE TABLE notary_checkpoints (
    size bigint PRIMARY KEY,
    at timestamp NOT NULL,
    note text NOT NULL,
    published_at timestamp
);

-- The audit log is a chain: chain is a keyed hash of the entry and of the entry with the preceding position. Entries
-- from before the chain have no position.
ALTER TABLE audit ADD COLUMN position bigint;
ALTER TABLE audit ADD COLUMN chain text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX audit_position ON audit (position);
CREATE TABLE audit_head (
    id bigint PRIMARY KEY CHECK (id = 1),
    position bigint NOT NULL,
    chain text NOT NULL
);
INSERT INTO audit_head (id, position, chain) VALUES (1, 0, '');

-- A keyed hash of the other columns, so that only a bot with the keyset can add a reason for a removal.
ALTER TABLE tombstones ADD COLUMN mac text NOT NULL DEFAULT '';
ALTER TABLE moved_alerts ADD COLUMN mac text NOT NULL DEFAULT '';

-- Restores from a backup. Until a person releases the restore, effects from before it are held, and so are deliveries up
-- to last_inbox. checkpoint is the published checkpoint that the restore was compared with, or ''. No incident has a number
-- after last_incident, the newest of the backup, and before next_incident.
CREATE TABLE restores (
    id integer PRIMARY KEY,
    at timestamp NOT NULL,
    backup_at timestamp NOT NULL,
    backup_size bigint NOT NULL,
    checkpoint text NOT NULL,
    last_incident bigint NOT NULL,
    next_incident bigint NOT NULL,
    last_inbox bigint NOT NULL,
    released_at timestamp,
    released_by text NOT NULL DEFAULT ''
);
ALTER TABLE effects ADD COLUMN held boolean NOT NULL DEFAULT false;
CREATE INDEX effects_held ON effects (incident_id) WHERE held;
