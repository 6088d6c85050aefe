package response

import (
	"encoding/json"
	"fmt"
	"slices"

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
		return requested, s.tx.Audit(s.denied(cmd))
	case err != nil:
		return incident.Result{}, err
	}
	switch result, err := s.decide(cmd); {
	case incident.CodeOf(err) != "":
		return requested, s.tx.Audit(s.denied(cmd))
	case err != nil:
		return incident.Result{}, err
	case result.Unchanged && dr.inc.MayRead(s.dir, env.Actor, s.now):
		return result, nil // a reader by break-glass can ask for more
	}
	return requested, nil
}

// breakGlassKey is the key of the uses of break-glass in [NamespaceBreakGlass].
const breakGlassKey = "uses"

// breakGlassUses returns the uses of break-glass since the last agenda.
func (s *session) breakGlassUses() ([]incident.BreakGlassUse, error) {
	stored, err := s.tx.Values(NamespaceBreakGlass, breakGlassKey)
	if err != nil {
		return nil, fmt.Errorf("read uses of break-glass: %w", err)
	}
	var uses []incident.BreakGlassUse
	if value := stored[breakGlassKey]; value != nil {
		if err := json.Unmarshal(value, &uses); err != nil {
			return nil, fmt.Errorf("decode uses of break-glass: %w", err)
		}
	}
	since := s.now.Add(-dismissalLookback)
	return slices.DeleteFunc(uses, func(u incident.BreakGlassUse) bool { return u.At.Before(since) }), nil
}

// noteBreakGlass records a use of break-glass for the next agenda.
func (s *session) noteBreakGlass(id incident.ID) error {
	uses, err := s.breakGlassUses()
	if err != nil {
		return err
	}
	value, err := json.Marshal(append(uses, incident.BreakGlassUse{Incident: id, At: s.now}))
	if err != nil {
		return fmt.Errorf("encode uses of break-glass: %w", err)
	}
	if err := s.tx.PutValue(NamespaceBreakGlass, breakGlassKey, value, s.now.Add(2*dismissalLookback)); err != nil {
		return fmt.Errorf("store uses of break-glass: %w", err)
	}
	return nil
}
