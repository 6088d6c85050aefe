package response

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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

// addMaintenanceWindow begins a maintenance window.
func (d *Desk) addMaintenanceWindow(ctx context.Context, by incident.PersonID, m incident.MaintenanceWindow, key string) (a incident.AlertResult, err error) {
	m.Owner, m.Suppressed, m.EndedBy = by, 0, ""
	now := d.Now()
	switch {
	case by == "":
		return a, incident.Forbidden("a maintenance window has an owner: somebody the configuration knows")
	case m.Reason == "":
		return a, incident.Invalid("reason", "say why alerts may be kept back")
	case len([]rune(m.Reason)) > incident.MaxTitle:
		return a, incident.Invalid("reason", "say it in %d characters", incident.MaxTitle)
	case !m.To.After(m.From) || !m.To.After(now):
		return a, incident.Invalid("when", "the window ends before it begins, or has passed")
	case m.To.Sub(m.From) > incident.MaxMaintenanceWindow || m.From.Sub(now) > 90*24*time.Hour:
		return a, incident.Invalid("when", "a window lasts 7 days at most and begins within 90; what is longer belongs into the routing, where it is reviewed")
	}
	if _, err := compileCondition(m.When); err != nil {
		return a, incident.Invalid("condition", "%v", err)
	}
	if none := UnknownSources(m.When, d.Sources); len(none) > 0 && d.Sources != nil {
		return a, incident.Invalid("condition", "%q is no source, so that it holds for no alert as it is meant; there are %s", none[0], strings.Join(d.Sources, ", "))
	}
	err = d.Store.Tx(ctx, func(tx Tx) error {
		if key != "" {
			if fresh, err := tx.RecordCommandKey(0, key); err != nil || !fresh {
				return err
			}
		}
		if m.ID, err = tx.PutMaintenance(m); err != nil {
			return err
		}
		return tx.Audit(Access{At: now, Person: by, Action: "maintenance add", Reason: fmt.Sprintf("M%d: %s", m.ID, m.Reason), Allowed: true})
	})
	if err != nil {
		return a, err
	}
	a, err = d.listMaintenanceWindows(ctx)
	a.Done = "It was so already; nothing changed."
	if m.ID != 0 {
		a.Done = fmt.Sprintf("M%d: matching alerts open nothing until %s; they are kept and listed.", m.ID, m.To.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return a, err
}

// endMaintenanceWindow ends a window before its time.
func (d *Desk) endMaintenanceWindow(ctx context.Context, by incident.PersonID, id int64) (incident.AlertResult, error) {
	err := d.Store.Tx(ctx, func(tx Tx) error {
		if err := tx.EndMaintenance(id, by, d.Now()); err != nil {
			return err
		}
		return tx.Audit(Access{At: d.Now(), Person: by, Action: "maintenance end", Reason: fmt.Sprintf("M%d", id), Allowed: true})
	})
	if err != nil {
		return incident.AlertResult{}, err
	}
	a, err := d.listMaintenanceWindows(ctx)
	a.Done = fmt.Sprintf("M%d has ended. What it kept back stays listed: alerts maintenance.", id)
	return a, err
}

// listMaintenanceWindows shows those that hold or are to come, and those of the last month.
func (d *Desk) listMaintenanceWindows(ctx context.Context) (a incident.AlertResult, err error) {
	now := d.Now()
	err = d.Store.View(ctx, func(r Reader) error {
		a.MaintenanceWindows, err = r.Maintenance(now.Add(-30 * 24 * time.Hour))
		return err
	})
	over := func(m incident.MaintenanceWindow) int {
		if m.To.After(now) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(a.MaintenanceWindows, func(x, y incident.MaintenanceWindow) int { return cmp.Or(over(x)-over(y), x.From.Compare(y.From)) })
	return a, err
}
