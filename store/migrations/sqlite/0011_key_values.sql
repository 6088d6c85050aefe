-- +goose Up

-- Small states by namespace and key: correlation windows, quotas, alert storms. A value is not used after it expires.
-- The tables storms and incident_openings are no longer written, and their rows are moved here when the store opens.
ALTER TABLE correlation_windows RENAME TO key_values;
ALTER TABLE key_values RENAME COLUMN sealed_window TO sealed_value;
DROP INDEX correlation_windows_expires;
CREATE INDEX key_values_expires ON key_values (expires_at);
