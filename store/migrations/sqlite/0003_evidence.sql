-- +goose Up

-- Suppressed alerts have incident_id 0 (watched), -1 (dropped) or -2 (maintenance). The new columns store the last
-- routing decision. rule is the position of the rule, from 1, or 0 if no rule matched. routing_id is the configuration.
-- The other columns are set if a maintenance window, an ended incident or a storm prevented the alert from opening an
-- incident.
ALTER TABLE alerts ADD COLUMN rule bigint NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN routing_id bigint NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN maintenance_id bigint NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN recurrence_of bigint NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN storm boolean NOT NULL DEFAULT false;

DROP INDEX alerts_last;
CREATE INDEX alerts_last ON alerts (incident_id, last_at, count); -- covers listing and counting suppressed alerts

-- The new ids of alerts whose rows were merged into other rows.
CREATE TABLE moved_alerts (
    id bigint PRIMARY KEY,
    moved_to bigint NOT NULL
);

-- More outcomes of deliveries, and the routing rule and configuration that decided. A delivery that is reprocessed
-- retains its outcome until it has a new one.
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

-- All routing configurations that were active, with their rules as configured.
CREATE TABLE configurations (
    id integer PRIMARY KEY,
    digest text NOT NULL UNIQUE,
    at timestamp NOT NULL,
    sealed_rules blob NOT NULL
);

-- The time at which the incident of a key ended, to detect recurrences.
ALTER TABLE correlations ADD COLUMN ended_at timestamp;
CREATE INDEX correlations_ended ON correlations (key_hash, ended_at) WHERE NOT live;

-- Times at which an alert opened an incident or would have, to detect storms. Old rows are removed.
CREATE TABLE incident_openings (
    id integer PRIMARY KEY,
    at timestamp NOT NULL
);
CREATE INDEX incident_openings_at ON incident_openings (at);

-- Incidents that group the alerts of a storm, with the number of grouped correlation keys.
CREATE TABLE storms (
    incident_id bigint PRIMARY KEY REFERENCES incidents (id) DEFERRABLE INITIALLY DEFERRED,
    at timestamp NOT NULL,
    ended_at timestamp,
    round bigint NOT NULL,
    grouped bigint NOT NULL
);

-- Maintenance windows. Rows are ended, never removed.
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

-- Data of an incident with a legal hold is not deleted, nor of incidents connected to it by a merge.
ALTER TABLE incidents ADD COLUMN legal_hold boolean NOT NULL DEFAULT false;
ALTER TABLE incidents ADD COLUMN merged_into bigint NOT NULL DEFAULT 0;

CREATE INDEX effects_incident ON effects (incident_id);

-- Proofs of deletion: the rows that retention deleted, the policy and a keyed hash of their contents.
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
