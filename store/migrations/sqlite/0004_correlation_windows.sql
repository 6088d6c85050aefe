-- +goose Up

-- What rules about several events have seen of each of their groups. Nobody needs a window after it expired.
CREATE TABLE correlation_windows (
    id integer PRIMARY KEY,
    key_hash text NOT NULL UNIQUE,
    expires_at timestamp NOT NULL,
    sealed_window blob -- none yet: it is being begun
);
CREATE INDEX correlation_windows_expires ON correlation_windows (expires_at);
