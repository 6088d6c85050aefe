package response

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"tocsin/bot/expression"
	"tocsin/bot/incident"
)

// evaluations holds the verdicts about the alerts of a batch. They are decided
// before the transaction, because conditions take time and the transaction blocks
// all other writers. Inside the transaction a window is only looked up by its id: it
// suppresses nothing if it has ended meanwhile.
type evaluations struct {
	windows map[int64]incident.MaintenanceWindow
	alerts  map[*incident.Alert]verdict
	fired   []evaluatedAlert // by value: alerts of correlation rules exist only inside the transaction
}

// evaluatedAlert is the verdict about the values that conditions read of an alert.
type evaluatedAlert struct {
	env     alertEnv
	verdict verdict
}

// notEvaluatedError ends a transaction that needs a verdict which was not decided
// before it: about an alert of a correlation rule, or with a new maintenance window.
type notEvaluatedError struct {
	alerts  []*incident.Alert
	windows []incident.MaintenanceWindow
}

func (*notEvaluatedError) Error() string { return "routing conditions are not evaluated" }

// maxEvaluations is how often a batch is evaluated again. Twice suffices unless
// maintenance windows are added all the time.
const maxEvaluations = 10

// evaluateBatch decides about the alerts of a batch with the active maintenance
// windows.
func (d *Desk) evaluateBatch(ctx context.Context, batch []incident.DecodedDelivery) (*evaluations, error) {
	e := &evaluations{windows: map[int64]incident.MaintenanceWindow{}, alerts: map[*incident.Alert]verdict{}}
	groups := groupAlerts(batch)
	if len(groups) == 0 {
		return e, nil
	}
	err := d.Store.View(ctx, func(r Reader) error {
		windows, err := r.MaintenanceWindows(d.Now())
		for _, m := range windows {
			if m.Active(d.Now()) {
				e.windows[m.ID] = m
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read maintenance windows: %w", err)
	}
	for _, g := range groups {
		switch {
		case g.unreadable:
		case len(e.windows) == 0:
			e.alerts[g.decoded] = d.evaluate(g.alert, e.windows)
		default:
			for _, a := range g.occurrences {
				e.alerts[a] = d.evaluate(*a, e.windows)
			}
		}
	}
	return e, nil
}

// evaluate evaluates the routing rules and the windows for one alert.
func (d *Desk) evaluate(a incident.Alert, windows map[int64]incident.MaintenanceWindow) verdict {
	v := d.Routing.route(a)
	v.windows = make(map[int64]windowMatch, len(windows))
	env := newAlertEnv(a)
	for id, m := range windows {
		v.windows[id] = d.matchWindow(m, env)
	}
	return v
}

// addEvaluations decides about the alerts and windows that a transaction needed.
func (d *Desk) addEvaluations(e *evaluations, missing *notEvaluatedError) {
	added := map[int64]incident.MaintenanceWindow{}
	for _, m := range missing.windows {
		added[m.ID], e.windows[m.ID] = m, m
	}
	for alert, v := range e.alerts {
		for id, m := range added {
			v.windows[id] = d.matchWindow(m, newAlertEnv(*alert))
		}
	}
	for _, a := range missing.alerts {
		v := d.evaluate(*a, e.windows)
		e.alerts[a] = v
		e.fired = append(e.fired, evaluatedAlert{newAlertEnv(*a), v})
	}
}

// find returns the verdict about an alert, if it was decided.
func (e *evaluations) find(a *incident.Alert) (verdict, bool) {
	if v, ok := e.alerts[a]; ok {
		return v, true
	}
	env := newAlertEnv(*a)
	for _, known := range e.fired {
		if reflect.DeepEqual(known.env, env) {
			return known.verdict, true
		}
	}
	return verdict{}, false
}

// applyVerdicts sets the verdicts of the groups. It returns a [*notEvaluatedError]
// if some are missing.
func (r *ingestion) applyVerdicts(groups []*alertGroup) error {
	r.groups = groups
	var missing notEvaluatedError
	for _, g := range groups {
		if g.unreadable {
			continue
		}
		occurrences := []*incident.Alert{g.decoded}
		if len(r.maintenance) > 0 { // a window must cover each occurrence
			occurrences = g.occurrences
		}
		for _, a := range occurrences {
			v, ok := r.evaluations.find(a)
			if !ok {
				missing.alerts = append(missing.alerts, a)
			}
			if a == g.decoded {
				g.verdict = v
			}
			g.verdicts = append(g.verdicts, v)
		}
	}
	for _, m := range r.maintenance {
		if _, ok := r.evaluations.windows[m.ID]; !ok {
			missing.windows = append(missing.windows, m)
		}
	}
	if len(missing.alerts) > 0 || len(missing.windows) > 0 && len(groups) > 0 {
		return &missing
	}
	return nil
}

// writeEvaluated runs f in a transaction like write. If the transaction needs other
// verdicts, it is rolled back and repeated with them.
func (d *Desk) writeEvaluated(ctx context.Context, e *evaluations, f func(*session) error) error {
	var err error
	for range maxEvaluations {
		err = d.write(ctx, f)
		var missing *notEvaluatedError
		if !errors.As(err, &missing) || ctx.Err() != nil {
			return err
		}
		d.addEvaluations(e, missing)
	}
	return err
}

// reportFailures logs the first failure of each rule and window, and counts all.
func (d *Desk) reportFailures(groups []*alertGroup) {
	for _, g := range groups {
		for _, f := range g.verdict.failed {
			d.reportFailure("rule", int64(f.position), f.err, g.alert.Kind)
		}
		for _, f := range g.failedWindows {
			d.reportFailure("window", f.id, f.err, g.alert.Kind)
		}
	}
}

// failureKey identifies a rule, window or playbook whose condition failed.
type failureKey struct {
	what string
	id   any
}

// reportFailure counts a failure and logs the first one. The log has no text of the
// alert: err may quote it, so only the cost is logged.
func (d *Desk) reportFailure(what string, id any, err error, kind string) {
	if d.Observer != nil {
		d.Observer.ConditionFailed(what)
	}
	if _, logged := d.failures.LoadOrStore(failureKey{what, id}, true); logged {
		return
	}
	var cost *expression.CostError
	d.Log.Warn("evaluate condition failed", "of", what, "id", id, "kind", kind, "too_expensive", errors.As(err, &cost))
}

// alertText returns the detail of an alert for its incident, with the failures of
// conditions in front.
func alertText(g *alertGroup, more ...string) string {
	lines := more
	if failed := g.verdict.describe(); failed != "" {
		lines = append(lines, failed)
	}
	for _, id := range g.unconfirmedWindows {
		lines = append(lines, unconfirmedText(id))
	}
	for _, f := range g.failedWindows {
		lines = append(lines, fmt.Sprintf("Maintenance window M%d failed on this alert and did not suppress it: %s.", f.id, f.err))
	}
	return truncate(strings.Join(append(lines, g.alert.Detail), "\n"))
}
