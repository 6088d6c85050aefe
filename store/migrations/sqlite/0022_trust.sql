-- +goose Up

-- The log of keys and providers, see the package trust. A row never changes. The counter trust is the id of the last row.
CREATE TABLE trust_events (
    id bigint PRIMARY KEY,
    at timestamp NOT NULL,
    kind text NOT NULL,
    person text NOT NULL,
    by_person text NOT NULL,
    through text NOT NULL,
    provider text NOT NULL,
    fingerprint text NOT NULL,
    sealed_details blob NOT NULL
);
INSERT INTO counters (name, value) VALUES ('trust', 0);

-- Sessions on the pages. token_hash is the hash of the token in the cookie. person is '' before the sign-in.
CREATE TABLE web_sessions (
    id integer PRIMARY KEY,
    token_hash text NOT NULL UNIQUE,
    person text NOT NULL,
    through text NOT NULL,
    second_factor boolean NOT NULL,
    created_at timestamp NOT NULL,
    used_at timestamp NOT NULL,
    expires_at timestamp NOT NULL,
    sealed_body blob NOT NULL
);
CREATE INDEX web_sessions_person ON web_sessions (person) WHERE person <> '';
CREATE INDEX web_sessions_expires_at ON web_sessions (expires_at);

-- Words under which lists find an incident, see incident.Mark. Rows are only added.
CREATE TABLE incident_marks (
    incident_id bigint NOT NULL REFERENCES incidents (id),
    kind text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (incident_id, kind, value)
);
CREATE INDEX incident_marks_value ON incident_marks (kind, value, incident_id);
CREATE INDEX incidents_updated_at ON incidents (updated_at, id);
