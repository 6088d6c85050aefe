-- +goose Up

-- Routing and detection rules that were active together. A change of either adds a row. Earlier rows have no detection
-- rules.
CREATE TABLE configurations_next (
    id integer PRIMARY KEY,
    digest text NOT NULL,
    detection_digest text NOT NULL DEFAULT '',
    at timestamp NOT NULL,
    sealed_rules blob NOT NULL,
    sealed_detection blob,
    UNIQUE (digest, detection_digest)
);
INSERT INTO configurations_next (id, digest, at, sealed_rules) SELECT id, digest, at, sealed_rules FROM configurations;
DROP TABLE configurations;
ALTER TABLE configurations_next RENAME TO configurations;
