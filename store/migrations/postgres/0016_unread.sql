-- +goose Up

-- A delivery of which a part could not be read. The other part has an outcome, and the delivery can be decoded again.
ALTER TABLE inbox ADD COLUMN unread boolean NOT NULL DEFAULT false;
