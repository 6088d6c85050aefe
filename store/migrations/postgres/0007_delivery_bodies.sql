-- +goose Up

-- The deliveries themselves, apart from what became of them: they are written once, and what is looked through and
-- rewritten stays narrow. Their ciphertexts are bound to the row of the inbox, as they were when they stood there.
CREATE TABLE delivery_bodies (
    inbox_id bigint PRIMARY KEY,
    sealed_body bytea NOT NULL
);
INSERT INTO delivery_bodies (inbox_id, sealed_body) SELECT id, sealed_body FROM inbox;
ALTER TABLE inbox DROP COLUMN sealed_body;
