package response

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// maxListed is the maximum number of alerts in one list.
const maxListed = 50

// dispositionIDs maps dispositions to the ids that stand for them in the store.
var dispositionIDs = map[incident.Disposition]incident.ID{incident.DispositionWatched: WatchedAlerts, incident.DispositionDropped: DroppedAlerts, incident.DispositionMaintenance: MaintenanceAlerts}

// Alerts answers a request about suppressed alerts, explanations or maintenance
// windows, or one about test pages. Only responders and representatives of security and legal may use it. The answer
// to a question about the stored records has only what the person may read.
// Every attempt is written to the audit log.
func (d *Desk) Alerts(ctx context.Context, who incident.Identity, e incident.AlertRequest) (incident.AlertResult, error) {
	if e.Query == incident.QueryTestPage {
		result, err := d.testPages(ctx, who, e)
		return answer(d, who, result, err)
	}
	if e.Query == incident.QueryAsk {
		trail, err := d.ask(ctx, who, *e.Ask)
		if err != nil {
			err = fmt.Errorf("answer %s request: %w", e.Query, err)
		}
		return answer(d, who, incident.AlertResult{Trail: &trail}, err)
	}
	var result incident.AlertResult
	person, err := d.AuthorizeAlertAccess(ctx, who, e.Query, e.Subject())
	if err != nil {
		return answer(d, who, incident.AlertResult{}, err)
	}
	switch {
	case e.Query == incident.QueryAlerts:
		result, err = d.listSuppressed(ctx, e.Disposition)
	case e.Query == incident.QueryExplain:
		result, err = d.explain(ctx, who, e)
	case e.Add != nil:
		if e.Key != "" {
			e.Key = who.String() + "/" + e.Key // as in authorKey
		}
		result, err = d.addMaintenanceWindow(ctx, person, *e.Add, e.Key)
	case e.Confirm != 0:
		result, err = d.confirmMaintenanceWindow(ctx, person, e.Confirm)
	case e.End != 0:
		result, err = d.endMaintenanceWindow(ctx, person, e.End)
	default:
		result, err = d.listMaintenanceWindows(ctx)
	}
	if err != nil {
		return answer(d, who, incident.AlertResult{}, fmt.Errorf("answer %s request: %w", e.Query, err))
	}
	return answer(d, who, result, nil)
}

// AuthorizeAlertAccess returns an error unless who may read all alerts and
// deliveries. It writes the attempt to the audit log under the name action, with the
// subject as the reason. It returns the person, "" for [incident.System].
func (d *Desk) AuthorizeAlertAccess(ctx context.Context, who incident.Identity, action, subject string) (incident.PersonID, error) {
	dir, err := d.Directory(ctx)
	if err != nil {
		return "", fmt.Errorf("read directory: %w", err)
	}
	person, known := dir.Resolve(who)
	allowed := person.Responder || known && mayReadPrivileged(who, person.ID, incident.Incident{}, dir, d.Now()) || who.Provider == incident.ProviderSystem
	err = d.Store.Tx(ctx, func(tx Tx) error {
		return tx.Audit(Access{At: d.Now(), Person: person.ID, Handle: who, Action: action, Reason: subject, Allowed: allowed})
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("audit %s: %w", action, err)
	case !allowed && !known:
		return "", incident.NotLinked(who)
	case !allowed:
		return "", incident.Forbidden("only responders, security and legal may read alerts and deliveries. Ask one of them")
	}
	return person.ID, nil
}

// listSuppressed lists suppressed alerts, the newest first.
func (d *Desk) listSuppressed(ctx context.Context, name incident.Disposition) (a incident.AlertResult, err error) {
	id, ok := dispositionIDs[name]
	if !ok {
		return a, incident.Invalid("disposition", "unknown disposition %q. Use watched, dropped or maintenance", name)
	}
	err = d.Store.View(ctx, func(r Reader) error {
		a, err = d.readSuppressed(r, name, id, time.Time{}, maxListed)
		return err
	})
	return a, err
}

// readSuppressed counts the alerts of a disposition since a time and returns the
// newest of them, at most limit.
func (d *Desk) readSuppressed(r AlertReader, name incident.Disposition, id incident.ID, since time.Time, limit int) (incident.AlertResult, error) {
	a := incident.AlertResult{Disposition: name}
	counts, err := r.CountAlerts(id, since)
	if err != nil {
		return a, fmt.Errorf("count %s alerts: %w", name, err)
	}
	total := incident.SumAlerts(counts)
	a.Kinds, a.Occurrences = total.Alerts, total.Occurrences
	rows, err := r.Alerts(AlertQuery{Incident: id, Limit: limit})
	if err != nil {
		return a, err
	}
	rules := map[int64]*Routing{}
	for _, row := range rows {
		if row.LastAt.Before(since) {
			break // the newest are first
		}
		l := alertLine(row)
		if id == DroppedAlerts {
			if l.Reason, err = d.dropReason(r, row.Decision, rules); err != nil {
				return a, err
			}
		}
		a.Alerts = append(a.Alerts, l)
	}
	return a, nil
}

// dropReason returns why an alert was dropped, from the rule that decided. It
// returns "" if that rule is no longer stored. known caches the configurations.
func (d *Desk) dropReason(r AlertReader, decision RoutingDecision, known map[int64]*Routing) (string, error) {
	routing, ok := known[decision.Routing]
	if !ok {
		config, err := r.Configuration(decision.Routing)
		if err == nil {
			routing, err = restoreRouting(config.Routing.Source)
		}
		if err != nil && incident.CodeOf(err) == "" {
			return "", err
		}
		known[decision.Routing] = routing
	}
	if routing == nil || decision.Rule < 1 || decision.Rule > len(routing.rules) {
		return "", nil
	}
	return routing.rules[decision.Rule-1].Drop, nil
}

func alertLine(row AlertRow) incident.AlertLine {
	return incident.AlertLine{ID: row.ID, Source: row.Alert.Source, Kind: row.Alert.Kind, Level: row.Alert.Level, Title: alertTitle(row.Alert), Origin: row.Alert.Origin,
		Count: row.Count, FirstAt: row.FirstAt, LastAt: row.LastAt}
}

// agendaAlerts returns the dropped alerts and the maintenance windows for the
// review agenda. Titles and conditions are removed, because not everyone at the
// meeting may read the texts of senders.
func (s *session) agendaAlerts(since time.Time) (incident.AlertResult, error) {
	a, err := s.d.readSuppressed(s.tx, incident.DispositionDropped, DroppedAlerts, since, 10)
	if err != nil {
		return a, err
	}
	for n := range a.Alerts {
		a.Alerts[n].Title = ""
	}
	if a.MaintenanceWindows, err = s.tx.MaintenanceWindows(since); err != nil {
		return a, fmt.Errorf("read maintenance windows: %w", err)
	}
	for n := range a.MaintenanceWindows {
		if m := &a.MaintenanceWindows[n]; s.d.compileWindow(*m).err != nil {
			m.Failing = "suppresses nothing, because its condition is not allowed"
		} else {
			s.d.describeFailures(a.MaintenanceWindows[n : n+1])
		}
		a.MaintenanceWindows[n].When = ""
	}
	return a, nil
}
