-- +goose Up

-- Correlation windows, which hold the state of Sigma correlation rules by group. Windows are not used after they
-- expire.
CREATE TABLE correlation_windows (
    id integer PRIMARY KEY,
    key_hash text NOT NULL UNIQUE,
    expires_at timestamp NOT NULL,
    sealed_window blob -- null until the window is first written
);
CREATE INDEX correlation_windows_expires ON correlation_windows (expires_at);
