-- +goose Up

-- The outside system requested the pause of the waiting effect, for example with a rate limit.
ALTER TABLE effects ADD COLUMN paused boolean NOT NULL DEFAULT false;
