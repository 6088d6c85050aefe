package response

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// Directory returns the people and teams that Tocsin knows.
func (d *Desk) Directory(ctx context.Context) (dir incident.Directory, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		dir, err = r.Directory()
		return err
	})
	return dir, err
}

// PutDirectory replaces the people and teams that Tocsin knows. People who are no
// longer in the directory have no authority from then on. Their names stay
// stored, and [Desk.EndDepartures] ends everything that they hold.
func (d *Desk) PutDirectory(ctx context.Context, dir incident.Directory) error {
	err := d.Store.Tx(ctx, func(tx Tx) error {
		before, err := tx.Directory()
		if err != nil {
			return err
		}
		return tx.PutDirectory(before.Succeed(dir, d.Now()))
	})
	if err != nil {
		return fmt.Errorf("store directory: %w", err)
	}
	return nil
}

// EndDepartures ends everything that people hold who left the configuration, and
// hands their open work over. It returns these people with everything they held.
//
// Every incident is one transaction, which also stores the progress. If
// EndDepartures is interrupted, the next call continues and repeats nothing. The
// caller must not call EndDepartures or [Desk.PutDirectory] concurrently.
func (d *Desk) EndDepartures(ctx context.Context) ([]incident.FormerPerson, error) {
	dir, err := d.Directory(ctx)
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	var pending []incident.PersonID
	for _, p := range dir.Former {
		if p.Pending {
			pending = append(pending, p.ID)
		}
	}
	if len(pending) == 0 {
		return nil, nil
	}
	var all []incident.Summary
	err = d.Store.View(ctx, func(r Reader) (err error) {
		all, err = r.Summaries(incident.Filter{All: true, Limit: math.MaxInt32})
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if err := d.endHeldIn(ctx, s.ID, pending); err != nil {
			return nil, fmt.Errorf("end departures in %s: %w", s.ID, err)
		}
	}
	var out []incident.FormerPerson
	for _, p := range pending {
		left, err := d.finishDeparture(ctx, p)
		if err != nil {
			return out, fmt.Errorf("finish departure: %w", err)
		}
		out = append(out, left)
	}
	return out, nil
}

// endHeldIn ends everything that people hold in one incident. It reads first,
// because most of the incidents need no write.
func (d *Desk) endHeldIn(ctx context.Context, id incident.ID, people []incident.PersonID) error {
	var concerned bool
	err := d.Store.View(ctx, func(r Reader) error {
		inc, err := r.Incident(id)
		concerned = err == nil && slices.ContainsFunc(people, func(p incident.PersonID) bool {
			proposed := inc.ExclusionProposed != nil && inc.ExclusionProposed.By == p
			return len(inc.HeldBy(p, d.Now())) > 0 || inc.Paging.AcknowledgedBy == p || proposed
		})
		return err
	})
	if err != nil || !concerned {
		return err
	}
	return d.write(ctx, func(s *session) error {
		dr, err := s.draft(id)
		if err != nil {
			return err
		}
		s.dir.Former = slices.Clone(s.dir.Former)
		for n := range s.dir.Former {
			left := &s.dir.Former[n]
			if !slices.Contains(people, left.ID) {
				continue
			}
			held := dr.inc.HeldBy(left.ID, s.now)
			err := s.doAsBot(id, incident.Command{Verb: incident.VerbPersonLeft, Person: left.ID, People: s.dir.Successors(*left, s.now)})
			if err != nil {
				return err
			}
			if dr.inc.Status.Ended() { // everybody who was ever invited has access
				held = slices.DeleteFunc(held, func(h incident.Held) bool { return h.Kind == incident.HeldAccess })
			}
			withheld := slices.ContainsFunc(s.dir.Successors(*left, s.now), dr.inc.Excludes)
			for n := range held {
				held[n].Withheld = withheld
			}
			left.AddHeld(held...)
		}
		return s.tx.PutDirectory(s.dir)
	})
}

// finishDeparture marks a departure as complete, writes it to the audit log and
// hands the open work over. A person who returned in the meantime is removed from
// the former people.
func (d *Desk) finishDeparture(ctx context.Context, id incident.PersonID) (left incident.FormerPerson, err error) {
	err = d.write(ctx, func(s *session) error {
		n := slices.IndexFunc(s.dir.Former, func(p incident.FormerPerson) bool { return p.ID == id })
		if n < 0 || !s.dir.Former[n].Pending {
			return nil
		}
		s.dir.Former = slices.Clone(s.dir.Former)
		s.dir.Former[n].Pending = false
		left = s.dir.Former[n]
		held := encodeHeld(left.Held)
		successors := s.dir.Successors(left, s.now)
		told := slices.DeleteFunc(slices.Clone(left.Held), func(h incident.Held) bool { return h.Withheld })
		if slices.ContainsFunc(told, func(h incident.Held) bool { return h.Kind != incident.HeldAccess }) {
			if err := s.tx.Enqueue(handover(left, encodeHeld(told), successors, s.now)...); err != nil {
				return fmt.Errorf("enqueue handover: %w", err)
			}
		}
		reason := fmt.Sprintf("%s left the configuration at %s and held: %s", left.Name, left.LeftAt.Format(time.RFC3339), held)
		if err := s.tx.Audit(Access{At: s.now, Person: id, Handle: incident.System, Action: "person left", Reason: reason, Allowed: true}); err != nil {
			return err
		}
		if _, returned := s.dir.Person(id); returned {
			s.dir.Former = slices.Delete(s.dir.Former, n, n+1)
		}
		return s.tx.PutDirectory(s.dir)
	})
	if err == nil && left.ID != "" {
		d.Log.Info("person left the configuration", "person", string(left.ID), "ended", len(left.Held)+left.More)
	}
	return left, err
}

// handover builds the messages about the open work of a former person. Their
// keys contain the time of leaving, because a person may return and leave again.
func handover(left incident.FormerPerson, held string, successors []incident.PersonID, now time.Time) []incident.Effect {
	people := make([]string, len(successors))
	for n, p := range successors {
		people[n] = string(p)
	}
	args := map[string]string{"person": string(left.ID), "held": held, "more": fmt.Sprint(left.More), "successors": strings.Join(people, ",")}
	key := fmt.Sprintf("handover/%s/%d", left.ID, left.LeftAt.UnixMicro())
	return []incident.Effect{
		{Key: key, Kind: incident.EffectHandover, After: now, Args: args},
		{Key: key + "/mail", Kind: incident.EffectMailHandover, After: now, Args: args},
	}
}

// encodeHeld returns a list of ids: "INC-4 role commander; INC-7 action A2".
func encodeHeld(held []incident.Held) string {
	lines := make([]string, len(held))
	for n, h := range held {
		lines[n] = strings.TrimSpace(fmt.Sprintf("%s %s %s", h.Incident, h.Kind, h.Ref))
	}
	return strings.Join(lines, "; ")
}
