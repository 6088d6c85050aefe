-- +goose Up

-- Events that were counted, by a keyed hash of their identity, with the first delivery that contained them. Events are
-- not delivered again after they expire.
CREATE TABLE seen_events (
    key_hash text NOT NULL PRIMARY KEY,
    inbox_id bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX seen_events_expires ON seen_events (expires_at);
