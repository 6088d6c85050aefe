-- +goose Up

-- What rules about several events have seen of each of their groups. Nobody needs a window after it expired.
CREATE TABLE windows (
    id integer PRIMARY KEY,
    key_hash text NOT NULL UNIQUE,
    expires_at timestamp NOT NULL,
    sealed_window blob -- none yet: it is being begun
);
CREATE INDEX windows_expires ON windows (expires_at);
