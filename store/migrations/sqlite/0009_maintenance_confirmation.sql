-- +goose Up

-- A maintenance window suppresses alerts at sev1 and sev2 only after a second person confirmed it. suppressed_severe is
-- how many of the suppressed alerts were at sev1 or sev2.
ALTER TABLE maintenance_windows ADD COLUMN confirmed_by text NOT NULL DEFAULT '';
ALTER TABLE maintenance_windows ADD COLUMN confirmed_at timestamp;
ALTER TABLE maintenance_windows ADD COLUMN suppressed_severe bigint NOT NULL DEFAULT 0;
