package response

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// StormLimit is how many incidents alerts may open within a time. More are an
// alert storm: one incident groups the further alerts, with one page and their
// counts.
type StormLimit struct {
	Incidents int           `yaml:"incidents"` // 0: no limit
	Per       time.Duration `yaml:"per"`       // length of the time
}

// Validate returns the problems of the limit.
func (l StormLimit) Validate() setting.Problems {
	var p setting.Problems
	if l.Incidents < 0 {
		p.Add("incidents", "is negative. Write a number of incidents, or 0 for no limit")
	}
	if l.Incidents != 0 && (l.Per < time.Second || l.Per > 24*time.Hour) {
		p.Add("per", "is out of range. Write a duration between 1s and 24h")
	}
	return p
}

// stormKey is the correlation key of the incident that groups an alert storm. Each
// origin has its own storms.
const stormKey = "storm"

// Storm is the state of an alert storm. It is stored in [NamespaceStorm] under the
// number of its incident.
type Storm struct {
	At      time.Time `json:"at"` // start, zero if there was no storm
	Ended   bool      `json:"ended"`
	Round   int       `json:"round"`   // increases when the storm resumes
	Grouped int64     `json:"grouped"` // correlation keys
}

// OpeningsKey is the key in [NamespaceStorm] of the times at which the last alerts of an
// origin opened an incident or were grouped instead.
const OpeningsKey = "openings"

// openings returns the recorded openings by alerts of an origin since a time.
func (s *session) openings(o incident.Origin, since time.Time) (out []time.Time, err error) {
	if err := getValue(s.tx, NamespaceStorm, o.Key(OpeningsKey), &out); err != nil {
		return nil, fmt.Errorf("read openings: %w", err)
	}
	return slices.DeleteFunc(out, func(at time.Time) bool { return !at.After(since) }), nil
}

// lockOpenings locks the openings of the origins of groups that may open an incident,
// if the batch locks another incident too. It runs before any incident is locked, which
// prevents deadlocks between batches: a batch that exceeds the limit locks the openings
// and then the incident of the alert storm.
func (r *ingestion) lockOpenings(groups []*alertGroup) error {
	var keys []string
	live := false
	for _, g := range groups {
		switch {
		case g.incident != 0:
			live = true
		case g.unreadable || g.verdict.rule.Open != "":
			keys = append(keys, g.alert.Origin.Key(OpeningsKey))
		}
	}
	if r.d.Storm.Incidents <= 0 || !live || len(keys) == 0 {
		return nil
	}
	if _, err := r.tx.Values(NamespaceStorm, keys...); err != nil {
		return fmt.Errorf("lock openings: %w", err)
	}
	return nil
}

func (s *session) storm(id incident.ID) (storm Storm, err error) {
	if err := getValue(s.tx, NamespaceStorm, id.String(), &storm); err != nil {
		return storm, fmt.Errorf("read alert storm of %s: %w", id, err)
	}
	return storm, nil
}

func (s *session) putStorm(id incident.ID, storm Storm) error {
	if err := putValue(s.tx, NamespaceStorm, id.String(), storm, time.Time{}); err != nil {
		return fmt.Errorf("store alert storm of %s: %w", id, err)
	}
	return nil
}

// stormExceeded records that an alert of an origin is about to open an incident, and reports
// whether the limit is exceeded. Grouped alerts are recorded too, so a storm
// lasts until the rate of new correlation keys falls.
func (r *ingestion) stormExceeded(o incident.Origin) (bool, error) {
	limit := r.d.Storm
	if limit.Incidents <= 0 {
		return false, nil
	}
	before, err := r.openings(o, r.now.Add(-limit.Per))
	if err != nil {
		return false, err
	}
	last := append(before, r.now)
	last = last[max(0, len(last)-limit.Incidents):] // older ones cannot matter any more
	if err := putValue(r.tx, NamespaceStorm, o.Key(OpeningsKey), last, r.now.Add(limit.Per)); err != nil {
		return false, fmt.Errorf("record opening: %w", err)
	}
	return len(before) >= limit.Incidents, nil
}

// groupIntoStorm attaches an alert to the incident of the alert storm and opens
// that incident if necessary. The correlation key of the alert stays bound to it.
func (r *ingestion) groupIntoStorm(g *alertGroup, rule Rule) error {
	g.decision.Storm = true
	id, err := firstIncident(r.tx, g.alert.Origin.Key(stormKey))
	if err != nil {
		return fmt.Errorf("find the incident of the alert storm: %w", err)
	}
	if id == 0 {
		if id, err = r.openStorm(g, rule); err != nil {
			return err
		}
	}
	if err := r.tx.Correlate(g.alert.Correlation, id); err != nil {
		return fmt.Errorf("correlate %s: %w", id, err)
	}
	if err := r.attachAlert(id, g, rule); err != nil {
		return err
	}
	if err := r.tx.MoveAlerts(WatchedAlerts, id); err != nil {
		return fmt.Errorf("attach watched alerts to %s: %w", id, err)
	}
	return r.noteStormGrowth(id)
}

func (r *ingestion) openStorm(g *alertGroup, rule Rule) (incident.ID, error) {
	id, err := r.tx.NewID()
	if err != nil {
		return 0, fmt.Errorf("allocate an incident number: %w", err)
	}
	limit := r.d.Storm
	per := formatDuration(limit.Per)
	_, err = r.create(id, incident.Command{Verb: incident.VerbOpen, For: id, By: sourceIdentity(g.alert), Via: incident.ViaSource, Severity: rule.Open,
		Title: fmt.Sprintf("Alert storm: more than %d incidents within %s", limit.Incidents, per),
		Text: fmt.Sprintf("Alerts opened %d incidents within %s. Further alerts are grouped into this incident and counted until the rate falls. To move alerts to another incident, use split.",
			limit.Incidents, per), Origin: g.alert.Origin}, g.alert.Origin.Key(stormKey))
	return id, err
}

// formatDuration formats a duration without zero units: 5m for 5m0s, and 1h for
// 1h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	for _, unit := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, unit) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// noteStormGrowth counts a correlation key for the alert storm and notes its
// growth at the 10th, 100th … key. If the storm starts or resumes, it sets the
// deadline for its end.
func (r *ingestion) noteStormGrowth(id incident.ID) error {
	storm, err := r.storm(id)
	if err != nil {
		return err
	}
	storm.Grouped++
	if storm.At.IsZero() || storm.Ended {
		if storm.Ended {
			text := fmt.Sprintf("The alert storm has resumed: more than %d new correlation keys within %s.", r.d.Storm.Incidents, formatDuration(r.d.Storm.Per))
			if err := r.addNote(id, incident.Alert{Source: "storm"}, text); err != nil {
				return err
			}
		}
		storm.At, storm.Ended, storm.Round = r.now, false, storm.Round+1
		end := incident.Deadline{Command: incident.Command{For: id, Verb: incident.VerbStormTimeout, Round: storm.Round}, At: r.now.Add(r.d.Storm.Per)}
		if err := r.tx.Enqueue(end.Effect(fmt.Sprintf("%s/storm_timer/%d", id, storm.Round))); err != nil {
			return fmt.Errorf("set deadline of the alert storm of %s: %w", id, err)
		}
	} else if mark := milestone(storm.Grouped-1, storm.Grouped); mark != 0 {
		if err := r.addNote(id, incident.Alert{Source: "storm"}, fmt.Sprintf("The alert storm has grouped %d correlation keys since %s.", mark, storm.At.Format(time.RFC3339))); err != nil {
			return err
		}
	}
	return r.putStorm(id, storm)
}

// endStorm ends an alert storm once the rate of new correlation keys is below the
// limit, and returns the number of grouped keys, or 0 if the storm ended before. Until
// then it returns an [*incident.NotDue].
func (s *session) endStorm(cmd incident.Command) (grouped int64, err error) {
	id, limit := cmd.For, s.d.Storm
	dr, err := s.draft(id)
	if err != nil {
		return 0, err
	}
	storm, err := s.storm(id)
	if err != nil {
		return 0, err
	}
	if storm.Ended || storm.Round != cmd.Round {
		return 0, nil
	}
	if limit.Incidents > 0 && dr.inc.Status.Live() {
		recent, err := s.openings(dr.inc.Origin, s.now.Add(-limit.Per))
		if err != nil {
			return 0, err
		}
		if len(recent) >= limit.Incidents {
			return 0, &incident.NotDue{Until: s.now.Add(limit.Per)}
		}
	}
	storm.Ended = true
	if err := s.putStorm(id, storm); err != nil {
		return 0, err
	}
	return storm.Grouped, nil
}
