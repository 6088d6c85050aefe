-- +goose Up

-- The rules that were in force together: a change of the routing is a row of its own, and so is one of the detection
-- rules, which were not kept before.
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
