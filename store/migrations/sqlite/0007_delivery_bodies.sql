-- +goose Up

-- Bodies of deliveries. They are written once, in a separate table, because rows of the inbox are scanned and updated
-- often. The associated data of the ciphertexts still names the inbox, where the column was before.
CREATE TABLE delivery_bodies (
    inbox_id integer PRIMARY KEY,
    sealed_body blob NOT NULL
);
INSERT INTO delivery_bodies (inbox_id, sealed_body) SELECT id, sealed_body FROM inbox;
ALTER TABLE inbox DROP COLUMN sealed_body;
