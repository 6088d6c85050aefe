-- +goose Up

-- The form of the stored state. A program that derives more from the same timeline has a greater form, and recomputes the
-- states with a smaller one at its start.
ALTER TABLE incidents ADD COLUMN state_form integer NOT NULL DEFAULT 0;
