-- +goose Up

-- An effect waits after a failed attempt: waiting_since is the time of the first one, and waiting_job the job of the next.
ALTER TABLE effects ADD COLUMN waiting_since timestamp;
ALTER TABLE effects ADD COLUMN waiting_job bigint NOT NULL DEFAULT 0;
ALTER TABLE effects ADD COLUMN waiting_system text NOT NULL DEFAULT '';
ALTER TABLE effects ADD COLUMN blocked boolean NOT NULL DEFAULT false;
ALTER TABLE effects ADD COLUMN attempts bigint NOT NULL DEFAULT 0;
ALTER TABLE effects ADD COLUMN attempted_at timestamp;
ALTER TABLE effects ADD COLUMN next_at timestamp;
ALTER TABLE effects ADD COLUMN sealed_failure blob;
CREATE INDEX effects_waiting ON effects (waiting_system, attempted_at) WHERE waiting_since IS NOT NULL;
