package response

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"tocsin/bot/incident"
)

const (
	maxTrailAlerts  = 50
	maxAskIncidents = 200 // whose alerts are searched
	maxAskAlerts    = 200 // of each of them
	maxTallies      = 20
)

// addAlerts adds the alerts of the subject: those of the incidents that changed in the
// period, and the newest suppressed ones. An alert about several events has no delivery.
func (s *trailSearch) addAlerts(ctx context.Context) error {
	if s.out.Question.After > 0 {
		return nil // the first part of the search has them
	}
	return s.d.Store.View(ctx, func(r Reader) error {
		list, err := r.Summaries(incident.Filter{All: true, Limit: maxAskIncidents})
		if err != nil {
			return err
		}
		s.out.AlertsAreCut = len(list) == maxAskIncidents
		var in []incident.ID
		for _, sum := range list {
			readable, err := s.mayReadIncident(r, sum.ID)
			if err != nil {
				return err
			}
			if readable && !sum.UpdatedAt.Before(s.out.Question.From) {
				in = append(in, sum.ID)
			}
		}
		if s.readsAlerts {
			in = append(in, WatchedAlerts, DroppedAlerts, MaintenanceAlerts)
		}
		for _, id := range in {
			if err := s.addAlertsOf(r, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *trailSearch) addAlertsOf(r AlertReader, id incident.ID) error {
	rows, err := r.Alerts(AlertQuery{Incident: id, Limit: maxAskAlerts})
	if err != nil {
		return err
	}
	q := s.out.Question
	s.out.AlertsAreCut = s.out.AlertsAreCut || len(rows) == maxAskAlerts
	for _, row := range rows {
		if row.LastAt.Before(q.From) || !row.FirstAt.Before(q.To.Add(lateRecords)) || !q.Matches(row.Alert.Activity()) {
			continue
		}
		s.auditRestricted(id)
		s.out.Alerts = append(s.out.Alerts, incident.TrailAlert{AlertLine: alertLine(row), Incident: max(id, 0)})
	}
	return nil
}

// result returns the answer.
func (s *trailSearch) result() incident.Trail {
	slices.SortStableFunc(s.events, func(a, b incident.TrailEvent) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Delivery, b.Delivery))
	})
	out := s.out
	out.Count = len(s.events)
	var t [7]map[string]int
	for n := range t {
		t[n] = map[string]int{}
	}
	for _, e := range s.events {
		call := e.Call
		if e.Result != "" {
			call += ": " + e.Result
		}
		for n, value := range []string{call, e.Principal, e.AccessKey, e.Region, e.Address, e.UserAgent} {
			if value != "" {
				t[n][value]++
			}
		}
		for _, account := range e.Accounts {
			t[6][account]++
		}
		if e.Incident > 0 {
			s.found[e.Incident] = true
		}
	}
	for n, to := range []*[]incident.Tally{&out.Calls, &out.Principals, &out.AccessKeys, &out.Regions, &out.Addresses, &out.UserAgents, &out.Accounts} {
		*to = tallies(t[n])
	}
	for _, a := range out.Alerts {
		if a.Incident > 0 {
			s.found[a.Incident] = true
		}
	}
	out.Incidents = slices.Sorted(maps.Keys(s.found))
	if len(out.Alerts) > maxTrailAlerts {
		out.Alerts, out.AlertsAreCut = out.Alerts[:maxTrailAlerts], true
	}
	if out.Count > 0 {
		out.First, out.Last = s.events[0].At, s.events[out.Count-1].At
	}
	q := out.Question
	out.Pages = (out.Count + q.Limit - 1) / q.Limit
	from := (q.Page-1)*q.Limit - q.Skip
	if end := min(from+q.Limit, out.Count); end > max(from, 0) {
		out.Events = s.events[max(from, 0):end]
	}
	return out
}

// tallies returns the most frequent values, and the number of the others.
func tallies(counts map[string]int) []incident.Tally {
	var out []incident.Tally
	for value, n := range counts {
		out = append(out, incident.Tally{Value: value, Count: n})
	}
	slices.SortFunc(out, func(a, b incident.Tally) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Value, b.Value)) })
	return out[:min(len(out), maxTallies)]
}
