package response

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// maxListed is how many alerts of a shelf are shown at once.
const maxListed = 50

// dispositionIDs are where the store keeps what people call by these names.
var dispositionIDs = map[incident.Disposition]incident.ID{incident.DispositionWatched: WatchedAlerts, incident.DispositionDropped: DroppedAlerts, incident.DispositionMaintenance: MaintenanceAlerts}

// Alerts does what words ask about alerts and maintenance windows. Responders
// may, and whoever speaks for security or legal; each access is audited.
func (d *Desk) Alerts(ctx context.Context, who incident.Identity, e incident.AlertRequest) (incident.AlertResult, error) {
	var answer incident.AlertResult
	person, err := d.AuthorizeAlertAccess(ctx, who, e.Query)
	if err != nil {
		return answer, err
	}
	switch {
	case e.Query == incident.QueryAlerts:
		answer, err = d.listSuppressed(ctx, e.Disposition)
	case e.Query == incident.QueryExplain:
		answer, err = d.explain(ctx, who, e)
	case e.Add != nil:
		answer, err = d.addMaintenanceWindow(ctx, person, *e.Add, e.Key)
	case e.End != 0:
		answer, err = d.endMaintenanceWindow(ctx, person, e.End)
	default:
		answer, err = d.listMaintenanceWindows(ctx)
	}
	if err != nil {
		return incident.AlertResult{}, fmt.Errorf("answer about %s: %w", e.Query, d.redactError(who.Provider, err))
	}
	if isExternal(who.Provider) {
		answer = redacted(d.Redact, answer)
	}
	return answer, nil
}

// AuthorizeAlertAccess checks that a person may see every alert and what it was made of, and
// writes it to the audit log.
func (d *Desk) AuthorizeAlertAccess(ctx context.Context, who incident.Identity, what string) (incident.PersonID, error) {
	dir, err := d.Directory(ctx)
	if err != nil {
		return "", fmt.Errorf("read directory: %w", err)
	}
	person, known := dir.Resolve(who)
	allowed := person.Responder || known && mayReadPrivileged(who, person.ID, dir, d.Now()) || who.Provider == incident.ProviderSystem
	err = d.Store.Tx(ctx, func(tx Tx) error {
		return tx.Audit(Access{At: d.Now(), Person: person.ID, Handle: who, Action: what, Allowed: allowed})
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("audit %s: %w", what, err)
	case !allowed && !known:
		return "", errUnknownIdentity(who)
	case !allowed:
		return "", incident.Forbidden("alerts and deliveries are for responders, and for security and legal")
	}
	return person.ID, nil
}

// listSuppressed lists kept alerts, the newest first.
func (d *Desk) listSuppressed(ctx context.Context, name incident.Disposition) (a incident.AlertResult, err error) {
	shelf, ok := dispositionIDs[name]
	if !ok {
		return a, incident.Invalid("shelf", "there are no %q alerts; there are watched, dropped and maintenance", name)
	}
	err = d.Store.View(ctx, func(r Reader) error {
		a, err = d.readSuppressed(r, name, shelf, time.Time{}, maxListed)
		return err
	})
	return a, err
}

// readSuppressed reads a shelf, since a time.
func (d *Desk) readSuppressed(r Reader, name incident.Disposition, shelf incident.ID, since time.Time, most int) (incident.AlertResult, error) {
	a := incident.AlertResult{Disposition: name}
	var err error
	if a.Kinds, a.Occurrences, err = r.CountSuppressed(shelf, since); err != nil {
		return a, fmt.Errorf("count the %s alerts: %w", name, err)
	}
	rows, err := r.Alerts(shelf, most)
	if err != nil {
		return a, err
	}
	rules := map[int64]*Routing{}
	for _, row := range rows {
		if row.LastAt.Before(since) {
			break // they come newest first
		}
		l := alertLine(row)
		if shelf == DroppedAlerts {
			if l.Reason, err = d.dropReason(r, row.Decision, rules); err != nil {
				return a, err
			}
		}
		a.Alerts = append(a.Alerts, l)
	}
	return a, nil
}

// dropReason reads why an alert was dropped out of the routing of that time.
func (d *Desk) dropReason(r Reader, made RoutingDecision, known map[int64]*Routing) (string, error) {
	routing, ok := known[made.Routing]
	if !ok {
		then, err := r.Configuration(made.Routing)
		if err == nil {
			routing, err = restoreRouting(then.Routing.Source)
		}
		if err != nil && incident.CodeOf(err) == "" {
			return "", err
		}
		known[made.Routing] = routing
	}
	if routing == nil || made.Rule < 1 || made.Rule > len(routing.rules) {
		return "", nil
	}
	return routing.rules[made.Rule-1].Drop, nil
}

func alertLine(row AlertRow) incident.AlertLine {
	return incident.AlertLine{ID: row.ID, Source: row.Alert.Source, Kind: row.Alert.Kind, Level: row.Alert.Level, Title: alertTitle(row.Alert),
		Count: row.Count, FirstAt: row.FirstAt, LastAt: row.LastAt}
}

// agendaAlerts is what a review meeting hears of alerts that became no incident:
// what was dropped since the last one, without the senders' words, which are
// not for everybody, and the maintenance windows since.
func (s *session) agendaAlerts(since time.Time) (incident.AlertResult, error) {
	a, err := s.d.readSuppressed(s.tx, incident.DispositionDropped, DroppedAlerts, since, 10)
	if err != nil {
		return a, err
	}
	for n := range a.Alerts {
		a.Alerts[n].Title = ""
	}
	if a.MaintenanceWindows, err = s.tx.Maintenance(since); err != nil {
		return a, fmt.Errorf("read the maintenance windows: %w", err)
	}
	for n := range a.MaintenanceWindows {
		a.MaintenanceWindows[n].When = ""
	}
	return a, nil
}
