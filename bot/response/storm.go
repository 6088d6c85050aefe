package response

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// StormLimit says how many incidents alerts may open within a time. What comes
// beyond is a storm: one incident gathers it, with one page and its counts.
type StormLimit struct {
	Incidents int           // 0: no limit
	Per       time.Duration //
}

// stormKey is the correlation key of the incident that gathers storms.
const stormKey = "storm"

// stormExceeded remembers that an alert wants to open an incident, and reports whether
// too many did within the time. What a storm gathers counts too, so the storm
// lasts until the rate of new correlations has fallen.
func (r *ingestion) stormExceeded() (bool, error) {
	limit := r.d.Storm
	if limit.Incidents <= 0 {
		return false, nil
	}
	since := r.now.Add(-limit.Per)
	n, err := r.tx.CountOpenings(since, limit.Incidents)
	if err != nil {
		return false, fmt.Errorf("count what was opened lately: %w", err)
	}
	if err := r.tx.AddOpening(r.now, since); err != nil {
		return false, fmt.Errorf("remember an opening: %w", err)
	}
	return n >= limit.Incidents, nil
}

// groupIntoStorm takes an alert into the incident of the storm, which it opens if there
// is none. Its correlation belongs there from now on.
func (r *ingestion) groupIntoStorm(g *alertGroup, rule Rule) error {
	g.decision.Storm = true
	id, err := r.tx.IncidentByCorrelation(stormKey)
	if err != nil {
		return fmt.Errorf("find the incident of the storm: %w", err)
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
		return fmt.Errorf("bring watched alerts into %s: %w", id, err)
	}
	return r.noteStormGrowth(id)
}

func (r *ingestion) openStorm(g *alertGroup, rule Rule) (incident.ID, error) {
	id, err := r.tx.NewID()
	if err != nil {
		return 0, fmt.Errorf("take a number: %w", err)
	}
	limit := r.d.Storm
	per := formatDuration(limit.Per)
	_, err = r.create(id, incident.Command{Verb: incident.VerbOpen, For: id, By: sourceIdentity(g.alert), Via: incident.ViaSource, Severity: rule.Open,
		Title: fmt.Sprintf("Storm of alerts: more than %d incidents within %s", limit.Incidents, per),
		Text: fmt.Sprintf("Alerts opened %d incidents within %s. What comes on top is gathered here, counted and not lost, until fewer come. split takes it apart.",
			limit.Incidents, per)}, stormKey)
	return id, err
}

// formatDuration writes 5m for 5m0s, and 1h for 1h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	for _, unit := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, unit) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// noteStormGrowth counts a correlation for the storm, starts or restarts its clock,
// and says how it grows: at the 10th, the 100th …
func (r *ingestion) noteStormGrowth(id incident.ID) error {
	storm, err := r.tx.Storm(id)
	if err != nil {
		return fmt.Errorf("read the storm of %s: %w", id, err)
	}
	storm.Grouped++
	if storm.At.IsZero() || storm.Ended {
		if storm.Ended {
			if err := r.addNote(id, incident.Alert{Source: "storm"}, "The storm goes on: more than "+strconv.Itoa(r.d.Storm.Incidents)+" new correlations within "+r.d.Storm.Per.String()+"."); err != nil {
				return err
			}
		}
		storm.At, storm.Ended, storm.Round = r.now, false, storm.Round+1
		round := strconv.Itoa(storm.Round)
		err := r.tx.Enqueue(incident.Effect{Key: id.String() + "/storm_timer/" + round, Kind: incident.EffectStormTimer, Incident: id,
			After: r.now.Add(r.d.Storm.Per), Args: map[string]string{"round": round}})
		if err != nil {
			return fmt.Errorf("watch the storm of %s: %w", id, err)
		}
	} else if mark := milestone(storm.Grouped-1, storm.Grouped); mark != 0 {
		if err := r.addNote(id, incident.Alert{Source: "storm"}, fmt.Sprintf("The storm has brought %d correlations since %s.", mark, storm.At.Format(time.RFC3339))); err != nil {
			return err
		}
	}
	if err := r.tx.PutStorm(id, storm); err != nil {
		return fmt.Errorf("keep the storm of %s: %w", id, err)
	}
	return nil
}

// stormTimer says that a storm is over, once fewer correlations come than make one.
func (a *attempt) stormTimer(s *session) (string, error) {
	id, limit := a.effect.Incident, s.d.Storm
	dr, err := s.draft(id)
	if err != nil {
		return "", err
	}
	storm, err := s.tx.Storm(id)
	if err != nil {
		return "", fmt.Errorf("read the storm of %s: %w", id, err)
	}
	if storm.Ended || storm.Round != intArg(a.effect, "round") {
		return "over already", nil
	}
	if limit.Incidents > 0 && dr.inc.Status.Live() {
		n, err := s.tx.CountOpenings(s.now.Add(-limit.Per), limit.Incidents)
		if err != nil {
			return "", fmt.Errorf("count what was opened lately: %w", err)
		}
		if n >= limit.Incidents {
			if err := s.tx.SnoozeEffect(a.job, s.now.Add(limit.Per)); err != nil {
				return "", fmt.Errorf("put the timer off: %w", err)
			}
			return "", nil
		}
	}
	storm.Ended = true
	if err := s.tx.PutStorm(id, storm); err != nil {
		return "", fmt.Errorf("keep the storm of %s: %w", id, err)
	}
	return "rang", s.addNote(id, incident.Alert{Source: "storm"},
		fmt.Sprintf("The storm is over: %d correlations were gathered here. New ones open incidents of their own again.", storm.Grouped))
}
