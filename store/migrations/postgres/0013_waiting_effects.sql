-- +goose Up

-- An effect waits after a failed attempt: waiting_since is the time of the first one, and waiting_job the job of the next.
ALTER TABLE effects
    ADD COLUMN waiting_since timestamptz,
    ADD COLUMN waiting_job bigint NOT NULL DEFAULT 0,
    ADD COLUMN waiting_system text NOT NULL DEFAULT '',
    ADD COLUMN blocked boolean NOT NULL DEFAULT false,
    ADD COLUMN attempts bigint NOT NULL DEFAULT 0,
    ADD COLUMN attempted_at timestamptz,
    ADD COLUMN next_at timestamptz,
    ADD COLUMN sealed_failure bytea;
CREATE INDEX effects_waiting ON effects (waiting_system, attempted_at) WHERE waiting_since IS NOT NULL;
