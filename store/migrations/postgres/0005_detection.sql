-- +goose Up

-- The rules that were in force together: a change of the routing is a row of its own, and so is one of the detection
-- rules, which were not kept before.
ALTER TABLE configurations ADD COLUMN detection_digest text NOT NULL DEFAULT '';
ALTER TABLE configurations ADD COLUMN sealed_detection bytea;
ALTER TABLE configurations DROP CONSTRAINT configurations_digest_key;
ALTER TABLE configurations ADD CONSTRAINT configurations_digest_key UNIQUE (digest, detection_digest);
