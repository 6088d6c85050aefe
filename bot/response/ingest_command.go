package response

import (
	"cmp"
	"fmt"

	"tocsin/bot/incident"
)

// applyCommand decides about a command from an outside system. A rejection by the
// lifecycle makes the delivery ignored and is not an error.
func (r *ingestion) applyCommand(row incident.DecodedDelivery, signal incident.Signal) error {
	cmd := *signal.Command
	outcome := DeliveryOutcome{Row: row.Row, Outcome: outcomeCommand}
	if cmd.For == 0 && cmd.Verb != incident.VerbOpen {
		id, round, err := r.resolveRef(signal.Subject, cmd.By.ID)
		if err != nil {
			return err
		}
		if id == 0 {
			r.setOutcome(DeliveryOutcome{Row: row.Row, Outcome: outcomeIgnored, Reason: "the command does not refer to an incident of Tocsin"})
			return nil
		}
		cmd.For, cmd.Round = id, cmp.Or(cmd.Round, round)
	}
	if fingerprint := signal.Subject.Fingerprint; fingerprint != "" && cmd.Key != "" {
		n, err := countOccurrences(r.tx, cmd.For, incident.Alert{Source: cmd.By.ID, Fingerprint: fingerprint})
		if err != nil {
			return fmt.Errorf("count occurrences for a command: %w", err)
		}
		cmd.Key += fmt.Sprintf("|%d", n)
	}
	outcome.Incident = cmd.For
	result, err := r.do(cmd)
	switch {
	case incident.CodeOf(err) != "":
		outcome.Outcome, outcome.Reason = outcomeIgnored, err.Error()
		if incident.IsDenied(err) {
			if err := r.tx.Audit(r.denied(cmd, nil)); err != nil {
				return fmt.Errorf("audit %s of %s: %w", cmd.Verb, cmd.For, err)
			}
		}
		if incident.CodeOf(err) == incident.CodeUnknown && r.drafts[cmd.For] == nil {
			outcome.Incident = 0
		}
	case err != nil:
		return fmt.Errorf("decide %s from %s: %w", cmd.Verb, row.Source, err)
	default:
		outcome.Incident = result.Incident.ID
	}
	r.setOutcome(outcome)
	return nil
}

// resolveRef returns the incident that an outside system refers to, or 0. The
// fingerprint takes precedence, because an alert may have been split to another
// incident. round is the paging round of a page key.
func (r *ingestion) resolveRef(s incident.IncidentRef, source string) (id incident.ID, round int, err error) {
	if s.PageKey != "" {
		id, round, _ = incident.ParsePageKey(s.PageKey)
		return id, round, nil
	}
	if s.Correlation == "" {
		return 0, 0, nil
	}
	keys := []string{s.Correlation}
	if s.Fingerprint != "" {
		keys = []string{fingerprintKey(incident.Alert{Source: source, Fingerprint: s.Fingerprint}), s.Correlation}
	}
	id, err = firstIncident(r.tx, keys...)
	return id, 0, err
}
