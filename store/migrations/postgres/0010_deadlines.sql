-- +goose Up

-- Deadlines replace the five kinds of timers. Their arguments hold the verb of the command that is due. Finished timers
-- keep their kind.
UPDATE effects SET kind = 'deadline', args = args::jsonb || '{"verb": "page_timeout"}' WHERE kind = 'escalation_timer' AND state IN ('available', 'pending');
UPDATE effects SET kind = 'deadline', args = args::jsonb || '{"verb": "ack_timeout"}' WHERE kind = 'ack_timer' AND state IN ('available', 'pending');
UPDATE effects SET kind = 'deadline', args = '{"verb": "severity_timeout"}' WHERE kind = 'severity_timer' AND state IN ('available', 'pending');
UPDATE effects SET kind = 'deadline', args = jsonb_build_object('verb', 'step_late', 'step', (args::jsonb ->> 'run') || '/' || (args::jsonb ->> 'step'))
    WHERE kind = 'step_timer' AND state IN ('available', 'pending');
UPDATE effects SET kind = 'deadline', args = args::jsonb || '{"verb": "storm_timeout"}' WHERE kind = 'storm_timer' AND state IN ('available', 'pending');
