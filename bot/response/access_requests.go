package response

import (
	"fmt"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// requestAccess handles [incident.VerbRequestAccess]. The result is the same whether
// the incident exists or not, and whether the author is excluded from it or not. The
// audit log has every request.
func (s *session) requestAccess(cmd incident.Command) (incident.Result, error) {
	env, requested := s.env(cmd), incident.Result{Requested: true, Incident: incident.Incident{ID: cmd.For}}
	if err := incident.CheckAccessRequest(cmd, env); err != nil {
		return incident.Result{}, err
	}
	dr, err := s.draft(cmd.For)
	switch {
	case incident.CodeOf(err) == incident.CodeUnknown:
		return requested, s.tx.Audit(s.denied(cmd, nil))
	case err != nil:
		return incident.Result{}, err
	}
	switch result, err := s.decide(cmd); {
	case incident.CodeOf(err) != "":
		return requested, s.tx.Audit(s.denied(cmd, nil))
	case err != nil:
		return incident.Result{}, err
	case result.Unchanged && dr.inc.MayRead(s.dir, env.Actor, s.now):
		return result, nil // a reader by break-glass can ask for more
	}
	return requested, nil
}

const (
	// breakGlassKey is the key of the uses of break-glass in [NamespaceBreakGlass].
	breakGlassKey = "uses"
	// breakGlassTTL is how long they wait for an agenda.
	breakGlassTTL = 400 * 24 * time.Hour
)

// storedBreakGlass is a use of break-glass with the key of the agenda that lists it, or ""
// if it waits for the next one. A later attempt at an agenda lists the same uses.
type storedBreakGlass struct {
	incident.BreakGlassUse
	Agenda string `json:"agenda,omitempty"`
}

// noteBreakGlass records a use of break-glass for the next agenda.
func (s *session) noteBreakGlass(id incident.ID) error {
	var uses []storedBreakGlass
	if err := getValue(s.tx, NamespaceBreakGlass, breakGlassKey, &uses); err != nil {
		return fmt.Errorf("read uses of break-glass: %w", err)
	}
	return s.putBreakGlass(append(uses, storedBreakGlass{BreakGlassUse: incident.BreakGlassUse{Incident: id, At: s.now}}))
}

// listBreakGlass returns the uses of break-glass that an agenda lists. It forgets those of
// earlier agendas.
func (s *session) listBreakGlass(agenda string) ([]incident.BreakGlassUse, error) {
	var uses []storedBreakGlass
	if err := getValue(s.tx, NamespaceBreakGlass, breakGlassKey, &uses); err != nil || len(uses) == 0 {
		return nil, err
	}
	uses = slices.DeleteFunc(uses, func(u storedBreakGlass) bool { return u.Agenda != "" && u.Agenda != agenda })
	out := make([]incident.BreakGlassUse, len(uses))
	for n := range uses {
		uses[n].Agenda, out[n] = agenda, uses[n].BreakGlassUse
	}
	return out, s.putBreakGlass(uses)
}

func (s *session) putBreakGlass(uses []storedBreakGlass) error {
	if err := putValue(s.tx, NamespaceBreakGlass, breakGlassKey, uses, s.now.Add(breakGlassTTL)); err != nil {
		return fmt.Errorf("store uses of break-glass: %w", err)
	}
	return nil
}
