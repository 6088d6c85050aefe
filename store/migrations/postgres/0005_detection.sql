-- +goose Up

-- The rules that were in force together: a change of the routing is a row of its own, and so is one of the detection
-- rules, which were not kept before.
ALTER TABLE routings ADD COLUMN detection_digest text NOT NULL DEFAULT '';
ALTER TABLE routings ADD COLUMN sealed_detection bytea;
ALTER TABLE routings DROP CONSTRAINT routings_digest_key;
ALTER TABLE routings ADD CONSTRAINT routings_digest_key UNIQUE (digest, detection_digest);
