package response

import (
	"fmt"

	"tocsin/bot/incident"
	"tocsin/playbooks"
)

// flush starts the steps that became due and writes all drafts.
func (s *session) flush() error {
	for _, id := range s.order {
		if dr := s.drafts[id]; len(dr.events) > 0 {
			if err := s.advance(dr); err != nil {
				return err
			}
		}
	}
	for _, id := range s.order {
		if dr := s.drafts[id]; len(dr.events) > 0 {
			if err := s.save(dr); err != nil {
				return err
			}
		}
	}
	return nil
}

// advance starts playbook steps until no more are due, because the end of one
// step may start another.
func (s *session) advance(dr *draft) error {
	for {
		before := len(dr.events)
		for _, due := range playbooks.Next(dr.inc, s.now) {
			if err := s.start(dr.inc.ID, due); err != nil {
				return fmt.Errorf("start step %s: %w", due.Step, err)
			}
		}
		if len(dr.events) == before {
			return nil
		}
	}
}

func (s *session) save(dr *draft) error {
	id := dr.inc.ID
	if err := s.tx.Save(dr.inc, dr.events, dr.erase...); err != nil {
		return fmt.Errorf("save %s: %w", id, err)
	}
	if err := s.tx.Enqueue(dropRepeatedKeys(dr.effects)...); err != nil {
		return fmt.Errorf("enqueue effects of %s: %w", id, err)
	}
	if len(dr.erase) > 0 {
		inc, err := s.tx.Incident(id)
		if err != nil {
			return err
		}
		dr.inc = inc
	}
	return s.syncCorrelations(dr)
}

// dropRepeatedKeys removes effects with a repeated key. A transaction with
// several commands has repeated refresh effects.
func dropRepeatedKeys(effects []incident.Effect) []incident.Effect {
	seen := map[string]bool{}
	out := effects[:0:0]
	for _, e := range effects {
		if !seen[e.Key] {
			seen[e.Key] = true
			out = append(out, e)
		}
	}
	return out
}
