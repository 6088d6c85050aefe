-- +goose Up

-- Alerts that belong to no incident stand under 0 (watched), -1 (dropped by a rule) or -2 (it was maintenance). Beside
-- an alert stands how it was decided the last time: by which rule (from 1; 0: none fits) of which routing, whether a
-- maintenance window, an incident that had ended or a storm kept it from opening an incident of its own.
ALTER TABLE alerts ADD COLUMN rule bigint NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN routing_id bigint NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN maintenance_id bigint NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN recurrence_of bigint NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN storm boolean NOT NULL DEFAULT false;

DROP INDEX alerts_last;
CREATE INDEX alerts_last ON alerts (incident_id, last_at, count); -- a shelf is listed and counted from it alone

-- Where an alert is whose row was added to another's.
CREATE TABLE moved_alerts (
    id bigint PRIMARY KEY,
    moved_to bigint NOT NULL
);

-- Deliveries: more that can become of them, and by which rule of which routing. One that is evaluated
-- anew keeps its outcome until it has another.
CREATE TABLE inbox_next (
    id integer PRIMARY KEY,
    source text NOT NULL,
    delivery_hash text NOT NULL,
    received_at timestamp NOT NULL,
    sealed_body blob NOT NULL,
    handled_at timestamp,
    outcome text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'opened', 'attached', 'grouped', 'counted', 'recurred', 'maintenance', 'watched', 'dropped', 'command', 'undecodable', 'ignored')),
    incident_id bigint NOT NULL DEFAULT 0,
    alert_id bigint NOT NULL DEFAULT 0,
    rule bigint NOT NULL DEFAULT 0,
    routing_id bigint NOT NULL DEFAULT 0,
    sealed_reason blob,
    UNIQUE (source, delivery_hash)
);
INSERT INTO inbox_next (id, source, delivery_hash, received_at, sealed_body, handled_at, outcome, incident_id, alert_id, sealed_reason)
    SELECT id, source, delivery_hash, received_at, sealed_body, handled_at, outcome, incident_id, alert_id, sealed_reason FROM inbox;
DROP TABLE inbox;
ALTER TABLE inbox_next RENAME TO inbox;
CREATE INDEX inbox_unhandled ON inbox (id) WHERE handled_at IS NULL;

-- Each routing that ever was in force, with its rules as they were configured.
CREATE TABLE configurations (
    id integer PRIMARY KEY,
    digest text NOT NULL UNIQUE,
    at timestamp NOT NULL,
    sealed_rules blob NOT NULL
);

-- When an incident ended that had a key, for alerts that come after it.
ALTER TABLE correlations ADD COLUMN ended_at timestamp;
CREATE INDEX correlations_ended ON correlations (key_hash, ended_at) WHERE NOT live;

-- Each time an alert opened an incident, or would have, within the span that makes a storm; older ones are removed.
CREATE TABLE incident_openings (
    id integer PRIMARY KEY,
    at timestamp NOT NULL
);
CREATE INDEX incident_openings_at ON incident_openings (at);

-- The incidents that gather what a storm brings, and how many correlations came into each.
CREATE TABLE storms (
    incident_id bigint PRIMARY KEY REFERENCES incidents (id) DEFERRABLE INITIALLY DEFERRED,
    at timestamp NOT NULL,
    ended_at timestamp,
    round bigint NOT NULL,
    grouped bigint NOT NULL
);

-- Maintenance windows. They are ended, never removed.
CREATE TABLE maintenance_windows (
    id integer PRIMARY KEY,
    owner text NOT NULL,
    starts_at timestamp NOT NULL,
    ends_at timestamp NOT NULL,
    ended_by text NOT NULL DEFAULT '',
    suppressed bigint NOT NULL DEFAULT 0,
    at timestamp NOT NULL,
    sealed_body blob NOT NULL
);
CREATE INDEX maintenance_windows_ends ON maintenance_windows (ends_at);

-- Nothing of an incident that is held is deleted, nor of one that went on inside another that is.
ALTER TABLE incidents ADD COLUMN legal_hold boolean NOT NULL DEFAULT false;
ALTER TABLE incidents ADD COLUMN merged_into bigint NOT NULL DEFAULT 0;

CREATE INDEX effects_incident ON effects (incident_id);

-- Proof of what was deleted by schedule: which rows, under which policy, and a keyed hash over what they held.
CREATE TABLE tombstones (
    id integer PRIMARY KEY,
    table_name text NOT NULL CHECK (table_name IN ('inbox', 'alerts', 'effects', 'commands', 'audit')),
    at timestamp NOT NULL,
    older_than timestamp NOT NULL,
    policy text NOT NULL,
    deleted bigint NOT NULL CHECK (deleted > 0),
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    hash text NOT NULL
);
