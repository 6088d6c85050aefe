package response

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// The limits of an overview. Each incident in it is read.
const (
	maxOverviewLive  = 300
	maxOverviewEnded = 200
	maxListedEnded   = 5
	// recentlyEnded is how long an overview lists an incident after its last change.
	recentlyEnded = 14 * 24 * time.Hour
)

// Overview returns what waits for a person in all incidents, the person's incidents and
// those that ended lately. It reads the newest 300 live incidents and the newest 200 that
// ended, for their open action items.
func (d *Desk) Overview(ctx context.Context, who incident.Identity) (incident.Overview, error) {
	var v incident.Overview
	var known bool
	err := d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		var person incident.Person
		if person, known = dir.Resolve(who); !known {
			return nil
		}
		v, err = d.overview(r, d.readerEnv(person.ID, dir))
		return err
	})
	if err != nil {
		return answer(d, who, v, fmt.Errorf("read overview: %w", err))
	}
	err = d.Store.Tx(ctx, func(tx Tx) error {
		return tx.Audit(Access{At: d.Now(), Person: v.Person, Handle: who, Action: "overview", Allowed: known})
	})
	switch {
	case err != nil:
		return answer(d, who, v, fmt.Errorf("audit overview: %w", err))
	case !known:
		return answer(d, who, v, incident.NotLinked(who))
	}
	return answer(d, who, v, nil)
}

func (d *Desk) overview(r Reader, env incident.Env) (incident.Overview, error) {
	v := incident.Overview{Person: env.Actor, Directory: env.Directory}
	live, err := r.Summaries(incident.Filter{Limit: maxOverviewLive})
	if err != nil {
		return v, err
	}
	ended, err := r.Summaries(incident.Filter{Statuses: endedStatuses(), Limit: maxOverviewEnded})
	if err != nil {
		return v, err
	}
	v.Cut = len(live) == maxOverviewLive || len(ended) == maxOverviewEnded
	for _, s := range slices.Concat(live, ended) {
		inc, err := r.Incident(s.ID)
		if err != nil {
			return v, fmt.Errorf("read %s: %w", s.ID, err)
		}
		if !inc.MayRead(env.Directory, env.Actor, env.Now) {
			continue
		}
		if inc, err = readableWork(r, inc, env); err != nil {
			return v, err
		}
		tasks := inc.Tasks(env)
		v.Tasks = append(v.Tasks, tasks...)
		v.Actions = append(v.Actions, inc.ActionItems(env)...)
		switch {
		case s.Status.Ended():
			if env.Now.Sub(s.UpdatedAt) < recentlyEnded {
				v.Ended = append(v.Ended, s)
			}
		case len(tasks) > 0, inc.HasPart(env.Actor):
			v.Mine = append(v.Mine, s)
		default:
			v.Others = append(v.Others, s)
		}
	}
	incident.SortTasks(v.Tasks)
	incident.SortActions(v.Actions)
	slices.SortStableFunc(v.Ended, func(a, b incident.Summary) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
	v.Ended = v.Ended[:min(len(v.Ended), maxListedEnded)]
	return v, nil
}

// readableWork returns an incident whose steps and action items have no text that the person
// may not read.
func readableWork(r Reader, inc incident.Incident, env incident.Env) (incident.Incident, error) {
	if len(inc.Actions)+len(inc.Runs) == 0 || !inc.MayHavePrivileged() || mayReadPrivileged(incident.Identity{}, env.Actor, inc, env.Directory, env.Now) {
		return inc, nil
	}
	timeline, err := r.Timeline(inc.ID)
	if err != nil {
		return inc, fmt.Errorf("read the timeline of %s: %w", inc.ID, err)
	}
	inc, _, _ = incident.WithholdPrivileged(inc.ID, timeline)
	return inc, nil
}

// endedStatuses returns the statuses of incidents that ended.
func endedStatuses() (out []incident.Status) {
	for _, s := range incident.Statuses() {
		if s.Ended() {
			out = append(out, s)
		}
	}
	return out
}

// readerEnv returns the environment of decisions about what a person could do now.
func (d *Desk) readerEnv(person incident.PersonID, dir incident.Directory) incident.Env {
	return incident.Env{Now: d.Now(), Actor: person, Directory: dir, Policy: d.Policy}
}
