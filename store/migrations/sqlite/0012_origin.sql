-- +goose Up

-- Where alerts and incidents come from: '' is live. Only live alerts and incidents count for live ones. The delivery's
-- origin is sealed with it.
ALTER TABLE incidents ADD COLUMN origin text NOT NULL DEFAULT '' CHECK (origin IN ('', 'replay', 'drill', 'recording'));
ALTER TABLE alerts ADD COLUMN origin text NOT NULL DEFAULT '' CHECK (origin IN ('', 'replay', 'drill', 'recording'));
