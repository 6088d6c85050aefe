package response

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// Fault is a part of Tocsin that does not work, or that works again.
type Fault struct {
	Part      string
	Replica   string // the process that found it
	Since     time.Time
	Recovered time.Time // since when the part works again, zero while it does not
	// Ways are the kinds of the notices: [incident.EffectNotice],
	// [incident.EffectMailNotice] and [incident.EffectPageNotice].
	Ways []incident.EffectKind
	// EscalationStep is the step that [incident.EffectPageNotice] pages.
	EscalationStep int
	// Args are the arguments of the notices. They hold no text of people.
	Args map[string]string
}

// faultState is the state of a fault that all replicas share. It is stored in
// [NamespaceFault] under the name of the part.
type faultState struct {
	Since    time.Time            `json:"since"`
	Open     bool                 `json:"open"`     // people have a notice, but none about the recovery
	Notified time.Time            `json:"notified"` // last notice
	Count    int                  `json:"count"`    // faults with a notice, each less than a day after the one before
	Paged    bool                 `json:"paged"`
	Step     int                  `json:"step"`     // that was paged
	Replicas map[string]time.Time `json:"replicas"` // last report by replica
}

const (
	// faultInterval is the minimum time between two notices about one fault. It is
	// shorter than a day, because replicas find a fault at different times.
	faultInterval = 23 * time.Hour
	// replicaTTL is how long a replica that does not report any more still has a fault.
	replicaTTL = 25 * time.Hour
	// faultTTL is how long the state of a fault is stored.
	faultTTL = 7 * 24 * time.Hour
	// minFaultPause is the minimum time between the notices about two faults of one part.
	// It doubles with each fault.
	minFaultPause = time.Hour
	// recoveryInterval is the time between two reports of a recovery, while another
	// replica still has the fault.
	recoveryInterval = time.Minute
	// openFaultsKey is the key of the names of all parts with an open fault. No part has
	// this name.
	openFaultsKey = ""
)

// NotifyFault notifies people about a fault, once for all replicas and once a day. After
// the recovery on all replicas it notifies them again. It returns an
// [*incident.RetryAfter] if the last fault of the part was too recent, or if the
// recovery must be reported again because another replica still has the fault.
func (d *Desk) NotifyFault(ctx context.Context, f Fault) error {
	now := d.Now()
	var wait error // after the report was stored
	err := d.Store.Tx(ctx, func(tx Tx) error {
		values, err := tx.Values(NamespaceFault, f.Part, openFaultsKey)
		if err != nil {
			return err
		}
		var state faultState
		var open []string
		if err := errors.Join(decodeValue(values[f.Part], &state), decodeValue(values[openFaultsKey], &open)); err != nil {
			return err
		}
		due, err := state.update(f, now)
		if err != nil {
			return err
		}
		if due {
			if err := tx.Enqueue(state.notices(f, now)...); err != nil {
				return err
			}
		}
		wait = state.waitForReplicas(f)
		open = slices.DeleteFunc(open, func(part string) bool { return part == f.Part })
		if state.Open {
			open = append(open, f.Part)
		}
		if err := putValue(tx, NamespaceFault, openFaultsKey, open, now.Add(faultTTL)); err != nil {
			return err
		}
		return putValue(tx, NamespaceFault, f.Part, state, now.Add(faultTTL))
	})
	if err == nil {
		err = wait
	}
	if err != nil {
		return fmt.Errorf("notify about %s: %w", f.Part, err)
	}
	return nil
}

// waitForReplicas returns an error if people cannot be notified about a recovery yet,
// because other replicas still have the fault. One of them may be gone.
func (s *faultState) waitForReplicas(f Fault) error {
	if f.Recovered.IsZero() || !s.Open {
		return nil
	}
	return &incident.RetryAfter{After: recoveryInterval, Err: fmt.Errorf("%d other replicas have the fault", len(s.Replicas))}
}

// update applies a report of a replica and reports whether a notice is due.
func (s *faultState) update(f Fault, now time.Time) (due bool, err error) {
	maps.DeleteFunc(s.Replicas, func(_ string, last time.Time) bool { return now.Sub(last) >= replicaTTL })
	if !f.Recovered.IsZero() {
		delete(s.Replicas, f.Replica)
		due = s.Open && len(s.Replicas) == 0
		s.Open = s.Open && !due
		return due, nil
	}
	since := now.Sub(s.Notified)
	if !s.Open && s.Count > 0 {
		if since >= replicaTTL {
			s.Count = 0
		} else if pause := minFaultPause << min(s.Count-1, 4); since < pause {
			return false, &incident.RetryAfter{After: pause - since, Err: fmt.Errorf("the last notice is %s old", since)}
		}
	}
	if s.Replicas == nil {
		s.Replicas = map[string]time.Time{}
	}
	s.Replicas[f.Replica] = now
	if s.Open && since < faultInterval {
		return false, nil
	}
	if !s.Open {
		s.Open, s.Since, s.Paged = true, f.Since, false
		s.Count++
	}
	s.Notified = now
	for _, way := range f.Ways {
		if way == incident.EffectPageNotice {
			s.Paged, s.Step = true, f.EscalationStep
		}
	}
	return true, nil
}

// notices returns the effects of a notice. If a page is open, the notice of the recovery
// resolves it.
func (s *faultState) notices(f Fault, now time.Time) []incident.Effect {
	args := maps.Clone(f.Args)
	args["part"], args["since"], args["escalation_step"] = f.Part, s.Since.UTC().Format(time.RFC3339), strconv.Itoa(s.Step)
	if !f.Recovered.IsZero() {
		args["recovered"] = f.Recovered.UTC().Format(time.RFC3339)
	}
	kinds := map[incident.EffectKind]bool{}
	for _, way := range f.Ways {
		kinds[way] = true
	}
	key := fmt.Sprintf("notice/fault/%s/%d", f.Part, now.Unix())
	if !f.Recovered.IsZero() {
		kinds[incident.EffectPageNotice] = s.Paged
		key += "/recovered"
	}
	var out []incident.Effect
	for _, kind := range []incident.EffectKind{incident.EffectNotice, incident.EffectMailNotice, incident.EffectPageNotice} {
		if kinds[kind] {
			out = append(out, incident.Effect{Key: key + "/" + string(kind), Kind: kind, After: now, Urgent: kind == incident.EffectPageNotice, Args: args})
		}
	}
	return out
}

// OpenFaults returns the parts about which people have a notice because of a replica,
// and the begin of each fault. A process that starts again learns from it which
// recoveries it must report, also of parts that it no longer has.
func (d *Desk) OpenFaults(ctx context.Context, replica string) (map[string]time.Time, error) {
	var open map[string]time.Time
	err := d.Store.Tx(ctx, func(tx Tx) error {
		open = map[string]time.Time{}
		var parts []string
		if err := getValue(tx, NamespaceFault, openFaultsKey, &parts); err != nil || len(parts) == 0 {
			return err
		}
		values, err := tx.Values(NamespaceFault, parts...)
		if err != nil {
			return err
		}
		for part, raw := range values {
			var state faultState
			if err := decodeValue(raw, &state); err != nil {
				return err
			}
			if _, has := state.Replicas[replica]; has && state.Open {
				open[part] = state.Since
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read open faults: %w", err)
	}
	return open, nil
}
