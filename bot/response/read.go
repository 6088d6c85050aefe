package response

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// Show returns the parts of an incident that the reader may see.
func (d *Desk) Show(ctx context.Context, who incident.Identity, id incident.ID, reason string) (incident.View, error) {
	var v incident.View
	person, err := d.read(ctx, Access{Handle: who, Action: "show", Incident: id, Reason: reason}, func(r Reader, inc incident.Incident, dir incident.Directory) error {
		timeline, err := r.Timeline(id)
		if err != nil {
			return err
		}
		alerts, err := r.Alerts(AlertQuery{Incident: id, Limit: maxListedAlerts})
		if err != nil {
			return err
		}
		counts, err := countAlerts(r, id)
		if err != nil {
			return err
		}
		v = incident.View{Incident: inc, Timeline: timeline, Alerts: alertRefs(alerts), AlertCounts: counts, Directory: dir, Page: d.pageInfo(inc), Policy: d.Policy}
		v.Waiting, err = waitsOf(r, id)
		if d.Playbooks != nil {
			v.Playbooks = d.Playbooks.List()
		}
		return err
	})
	if err != nil {
		return answer(d, who, incident.View{}, err)
	}
	v.Reader = person
	v.Draft = incident.DraftRecord(v.Incident, v.Timeline, v.Directory)
	env := d.readerEnv(person, v.Directory)
	privileged := mayReadPrivileged(who, person, v.Incident, v.Directory, d.Now())
	if !privileged && v.Incident.MayHavePrivileged() {
		v.Incident, v.Timeline, v.Withheld = incident.WithholdPrivileged(id, v.Timeline)
	}
	v.Possible, v.Tasks = incident.Possible(v.Incident, env), v.Incident.Tasks(env)
	if !privileged {
		v.Incident = v.Incident.WithoutExclusions()
	}
	return answer(d, who, v, nil)
}

// HasLive reports whether an incident is live, see [incident.Status.Live].
func (d *Desk) HasLive(ctx context.Context) (found bool, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		list, err := r.Summaries(incident.Filter{Statuses: incident.LiveStatuses(), Limit: 1})
		found = len(list) > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("find live incidents: %w", err)
	}
	return found, nil
}

// read calls more if the reader may read the incident, and writes the attempt to
// the audit log. The error is equal for an incident that does not exist and one
// that the reader may not read. For an account that belongs to no person, read does
// not look for the incident. read returns the reader, "" for [incident.System].
func (d *Desk) read(ctx context.Context, a Access, more func(Reader, incident.Incident, incident.Directory) error) (incident.PersonID, error) {
	var known bool
	a.At = d.Now()
	failed := d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		var person incident.Person
		person, known = dir.Resolve(a.Handle)
		known = known || a.Handle.Provider == incident.ProviderSystem
		a.Person, a.Allowed = person.ID, false
		if !known {
			return nil
		}
		inc, err := r.Incident(a.Incident)
		if err != nil {
			return err
		}
		if a.Allowed = a.Handle.Provider == incident.ProviderSystem || inc.MayRead(dir, person.ID, a.At); !a.Allowed {
			return nil
		}
		return more(r, inc, dir)
	})
	if failed != nil && incident.CodeOf(failed) == "" {
		return "", fmt.Errorf("%s %s: %w", a.Action, a.Incident, failed)
	}
	if err := d.Store.Tx(ctx, func(tx Tx) error { return tx.Audit(a) }); err != nil {
		return "", fmt.Errorf("audit %s of %s: %w", a.Action, a.Incident, err)
	}
	switch {
	case failed != nil:
		return "", failed
	case !known:
		return "", incident.NotLinked(a.Handle)
	case !a.Allowed:
		return "", incident.NoAccess(a.Incident)
	}
	return a.Person, nil
}

// mayReadPrivileged reports whether the reader may see notes for legal and
// security only.
func mayReadPrivileged(who incident.Identity, reader incident.PersonID, inc incident.Incident, dir incident.Directory, now time.Time) bool {
	return who.Provider == incident.ProviderSystem || inc.Represents(dir, reader, incident.Legal, now) || inc.Represents(dir, reader, incident.Security, now)
}

// alertRefs returns references to stored alerts, with their occurrence counts.
func alertRefs(rows []AlertRow) []incident.AlertRef {
	out := make([]incident.AlertRef, len(rows))
	for n, row := range rows {
		out[n] = alertRef(row)
		out[n].Count = row.Count
	}
	return out
}

// alertRef returns a reference to a stored alert, without its count.
func alertRef(row AlertRow) incident.AlertRef {
	a := row.Alert
	return incident.AlertRef{Alert: row.ID, Source: a.Source, Kind: a.Kind, Level: a.Level, Title: alertTitle(a), URL: a.URL,
		Rule: a.Rule, Fingerprint: row.Hash, At: a.At, LeftOut: a.LeftOut, Origin: a.Origin}
}

// List returns one summary for each incident that matches f. The summary of an
// incident that the reader may not see has only ID, origin, status and severity.
func (d *Desk) List(ctx context.Context, who incident.Identity, f incident.Filter) ([]incident.Summary, error) {
	var out []incident.Summary
	var reader incident.Person
	var known bool
	err := d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		reader, known = dir.Resolve(who)
		if who.Provider == incident.ProviderSystem {
			out, err = r.Summaries(f)
			return err
		}
		if known {
			out, err = d.summaries(r, dir, reader, f)
		}
		return err
	})
	if err != nil {
		return answer[[]incident.Summary](d, who, nil, fmt.Errorf("list incidents: %w", err))
	}
	known = known || who.Provider == incident.ProviderSystem
	err = d.Store.Tx(ctx, func(tx Tx) error {
		return tx.Audit(Access{At: d.Now(), Person: reader.ID, Handle: who, Action: "list", Allowed: known})
	})
	switch {
	case err != nil:
		return answer[[]incident.Summary](d, who, nil, fmt.Errorf("audit list: %w", err))
	case !known:
		return answer[[]incident.Summary](d, who, nil, incident.NotLinked(who))
	}
	return answer(d, who, out, nil)
}

// summaries returns the incidents that match f as a person may see them.
func (d *Desk) summaries(r Reader, dir incident.Directory, reader incident.Person, f incident.Filter) ([]incident.Summary, error) {
	out, err := r.Summaries(f)
	if err != nil {
		return nil, err
	}
	for n, s := range out {
		inc, err := r.Incident(s.ID)
		if err != nil {
			return nil, err
		}
		if !inc.MayRead(dir, reader.ID, d.Now()) {
			out[n] = incident.Summary{ID: s.ID, Origin: s.Origin, Status: s.Status, Severity: s.Severity, Restricted: true}
		}
	}
	return out, nil
}
