-- +goose Up

-- Events that were counted, by a keyed hash of what names them, and the delivery that brought each of them first. Nobody
-- brings one again after it expired.
CREATE TABLE seen_events (
    key_hash text NOT NULL PRIMARY KEY,
    inbox_id integer NOT NULL,
    expires_at timestamp NOT NULL
) WITHOUT ROWID;
CREATE INDEX seen_events_expires ON seen_events (expires_at);
