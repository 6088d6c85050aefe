package response

import (
	"fmt"

	"tocsin/bot/incident"
)

// authorKey returns the key of a command as it is stored. It contains the author: a
// key of one account cannot suppress the command of another, and a key that another
// account used reveals nothing.
func authorKey(cmd incident.Command) string { return cmd.By.String() + "/" + cmd.Key }

// openKey returns the correlation key of an incident that a command opened. It
// finds the incident if the command is repeated.
func openKey(cmd incident.Command) string { return "command:" + authorKey(cmd) }

// open opens an incident by command of a person.
func (s *session) open(cmd incident.Command) (incident.Result, error) {
	if s.env(cmd).ByOutsider() {
		return s.report(cmd)
	}
	if cmd.Key != "" {
		fresh, err := s.tx.RecordCommandKey(0, authorKey(cmd))
		if err != nil {
			return incident.Result{}, fmt.Errorf("store command key: %w", err)
		}
		if !fresh {
			return s.repeatedOpen(cmd)
		}
	}
	id, err := s.tx.NewID()
	if err != nil {
		return incident.Result{}, fmt.Errorf("allocate an incident number: %w", err)
	}
	cmd.Alert, cmd.Runs = nil, nil
	if p := s.d.Playbooks; p != nil {
		cmd.Runs, _ = p.Match(incident.Incident{ID: id, Status: incident.Triage, Title: cmd.Title, Severity: cmd.Severity}, nil)
	}
	var keys []string
	if cmd.Key != "" {
		keys = append(keys, openKey(cmd))
	}
	return s.create(id, cmd, keys...)
}

// repeatedOpen returns the incident that an earlier run of the command opened.
func (s *session) repeatedOpen(cmd incident.Command) (incident.Result, error) {
	id, err := firstIncident(s.tx, openKey(cmd))
	if err != nil {
		return incident.Result{}, err
	}
	ended := incident.Conflict("this command has opened an incident, which has ended or which you may not read. Send a new command to open another")
	if id == 0 {
		return incident.Result{}, ended
	}
	dr, err := s.draft(id)
	if err != nil {
		return incident.Result{}, err
	}
	if !s.mayRead(cmd, dr.inc) {
		return incident.Result{}, ended
	}
	return incident.Result{Incident: dr.inc, Unchanged: true}, nil
}

// create records a new incident with its correlation keys.
func (s *session) create(id incident.ID, cmd incident.Command, keys ...string) (incident.Result, error) {
	inc := incident.Incident{ID: id, Head: incident.Genesis(id)}
	events, err := incident.Decide(cmd, inc, s.env(cmd))
	if err != nil {
		return incident.Result{}, err
	}
	result := s.record(s.addDraft(inc), events)
	for _, key := range keys {
		if err := s.tx.Correlate(key, id); err != nil {
			return incident.Result{}, fmt.Errorf("correlate %s: %w", id, err)
		}
	}
	return result, nil
}
