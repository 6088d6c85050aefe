-- +goose Up

-- Columns named sealed_* hold ciphertexts that are bound to their table, row and column. Columns named *_hash hold
-- keyed hashes.

-- Incident numbers are taken from a locked row, to have no gaps.
CREATE TABLE counters (
    name text PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO counters (name, value) VALUES ('incident', 0);

-- The state of an incident, computed from its events, and the head of its timeline with its MAC.
CREATE TABLE incidents (
    id integer PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('triage', 'active', 'contained', 'resolved', 'in_review', 'approved', 'closed', 'dismissed', 'merged')),
    severity text NOT NULL CHECK (severity IN ('sev1', 'sev2', 'sev3', 'sev4')),
    restricted boolean NOT NULL,
    commander text NOT NULL,
    opened_at timestamp NOT NULL,
    updated_at timestamp NOT NULL,
    review_at timestamp,
    head_seq bigint NOT NULL CHECK (head_seq > 0),
    head_hash text NOT NULL,
    head_mac blob NOT NULL,
    sealed_title blob NOT NULL,
    sealed_state blob NOT NULL
);
CREATE INDEX incidents_status ON incidents (status, id);

-- Timeline events. Rows are only added. They are updated only to erase a text or to seal it with a new key.
CREATE TABLE events (
    id integer PRIMARY KEY,
    incident_id bigint NOT NULL REFERENCES incidents (id),
    seq bigint NOT NULL CHECK (seq > 0),
    kind text NOT NULL,
    recorded_at timestamp NOT NULL,
    hash text NOT NULL,
    sealed_body blob NOT NULL,
    UNIQUE (incident_id, seq)
);

-- Keys of the commands that an incident has processed.
CREATE TABLE commands (
    incident_id bigint NOT NULL,
    key_hash text NOT NULL,
    at timestamp NOT NULL,
    PRIMARY KEY (incident_id, key_hash)
);

-- The incidents of correlation keys. A key has at most one live incident.
CREATE TABLE correlations (
    id integer PRIMARY KEY,
    key_hash text NOT NULL,
    incident_id bigint NOT NULL REFERENCES incidents (id) DEFERRABLE INITIALLY DEFERRED,
    live boolean NOT NULL
);
CREATE UNIQUE INDEX correlations_live ON correlations (key_hash) WHERE live;
CREATE INDEX correlations_incident ON correlations (incident_id);

-- Identifiers of an incident in other systems.
CREATE TABLE links (
    incident_id bigint NOT NULL REFERENCES incidents (id),
    name text NOT NULL,
    value_hash text NOT NULL,
    PRIMARY KEY (incident_id, name)
);
CREATE INDEX links_value ON links (name, value_hash);

-- Alerts with their occurrence counts. Watched alerts have incident_id 0.
CREATE TABLE alerts (
    id integer PRIMARY KEY,
    incident_id bigint NOT NULL,
    hash text NOT NULL,
    correlation_hash text NOT NULL,
    source text NOT NULL,
    kind text NOT NULL,
    count bigint NOT NULL CHECK (count > 0),
    first_at timestamp NOT NULL,
    last_at timestamp NOT NULL,
    sealed_body blob NOT NULL,
    UNIQUE (incident_id, hash)
);
CREATE INDEX alerts_last ON alerts (incident_id, last_at);
CREATE INDEX alerts_watched ON alerts (correlation_hash) WHERE incident_id = 0;

-- Deliveries as received. Rows remain after they are handled, to detect repeated deliveries.
CREATE TABLE inbox (
    id integer PRIMARY KEY,
    source text NOT NULL,
    delivery_hash text NOT NULL,
    received_at timestamp NOT NULL,
    sealed_body blob NOT NULL,
    handled_at timestamp,
    outcome text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'opened', 'attached', 'counted', 'watched', 'dropped', 'command', 'undecodable', 'ignored')),
    incident_id bigint NOT NULL DEFAULT 0,
    alert_id bigint NOT NULL DEFAULT 0,
    sealed_reason blob,
    UNIQUE (source, delivery_hash)
);
CREATE INDEX inbox_unhandled ON inbox (id) WHERE handled_at IS NULL;

-- Effects of incidents. An available effect has a job. A pending effect waits for earlier effects of its lane. An idle
-- effect is a refresh effect that is up to date.
CREATE TABLE effects (
    id integer PRIMARY KEY,
    key text NOT NULL UNIQUE,
    kind text NOT NULL,
    incident_id bigint NOT NULL,
    seq bigint NOT NULL,
    lane text NOT NULL,
    lane_pos bigint NOT NULL,
    refresh boolean NOT NULL,
    urgent boolean NOT NULL,
    after timestamp,
    args text NOT NULL,
    state text NOT NULL CHECK (state IN ('available', 'pending', 'idle', 'completed', 'discarded')),
    requested bigint NOT NULL DEFAULT 1,
    ran_at timestamp,
    created_at timestamp NOT NULL
);
CREATE UNIQUE INDEX effects_refresh ON effects (incident_id, kind) WHERE refresh;
CREATE INDEX effects_lane ON effects (lane, lane_pos) WHERE state IN ('available', 'pending');
CREATE INDEX effects_unfinished ON effects (created_at) WHERE state IN ('available', 'pending');

-- The result of each effect. A refresh effect has only the result of its last run.
CREATE TABLE ledger (
    effect_id integer PRIMARY KEY REFERENCES effects (id),
    key text NOT NULL UNIQUE,
    outcome text NOT NULL CHECK (outcome IN ('completed', 'discarded')),
    at timestamp NOT NULL,
    sealed_result blob NOT NULL
);

-- The directory of people and teams, in one row.
CREATE TABLE directory (
    id integer PRIMARY KEY CHECK (id = 1),
    at timestamp NOT NULL,
    sealed_body blob NOT NULL
);

-- Postmortems by revision.
CREATE TABLE documents (
    id integer PRIMARY KEY,
    incident_id bigint NOT NULL REFERENCES incidents (id),
    revision bigint NOT NULL,
    digest text NOT NULL,
    at timestamp NOT NULL,
    sealed_body blob NOT NULL,
    UNIQUE (incident_id, revision)
);

-- The audit log of read access.
CREATE TABLE audit (
    id integer PRIMARY KEY,
    at timestamp NOT NULL,
    person text NOT NULL,
    action text NOT NULL,
    incident_id bigint NOT NULL,
    allowed boolean NOT NULL,
    sealed_detail blob NOT NULL
);
CREATE INDEX audit_incident ON audit (incident_id, id);
