-- +goose Up

-- Routing and detection rules that were active together. A change of either adds a row. Earlier rows have no detection
-- rules.
ALTER TABLE configurations ADD COLUMN detection_digest text NOT NULL DEFAULT '';
ALTER TABLE configurations ADD COLUMN sealed_detection bytea;
ALTER TABLE configurations DROP CONSTRAINT configurations_digest_key;
ALTER TABLE configurations ADD CONSTRAINT configurations_digest_key UNIQUE (digest, detection_digest);
