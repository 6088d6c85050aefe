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

// stormy remembers that an alert wants to open an incident, and reports whether
// too many did within the time. What a storm gathers counts too, so the storm
// lasts until the rate of new correlations has fallen.
func (r *reporting) stormy() (bool, error) {
	limit := r.d.Storm
	if limit.Incidents <= 0 {
		return false, nil
	}
	since := r.now.Add(-limit.Per)
	n, err := r.tx.Openings(since, limit.Incidents)
	if err != nil {
		return false, fmt.Errorf("count what was opened lately: %w", err)
	}
	if err := r.tx.Opening(r.now, since); err != nil {
		return false, fmt.Errorf("remember an opening: %w", err)
	}
	return n >= limit.Incidents, nil
}

// gather takes an alert into the incident of the storm, which it opens if there
// is none. Its correlation belongs there from now on.
func (r *reporting) gather(g *copies, rule Rule) error {
	g.made.Storm = true
	id, err := r.tx.Correlated(stormKey)
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
	if err := r.join(id, g, rule); err != nil {
		return err
	}
	if err := r.tx.Rehome(Watched, id); err != nil {
		return fmt.Errorf("bring watched alerts into %s: %w", id, err)
	}
	return r.gathered(id)
}

func (r *reporting) openStorm(g *copies, rule Rule) (incident.ID, error) {
	id, err := r.tx.NewID()
	if err != nil {
		return 0, fmt.Errorf("take a number: %w", err)
	}
	limit := r.d.Storm
	per := short(limit.Per)
	_, err = r.begin(id, incident.Command{Verb: incident.VerbOpen, For: id, By: source(g.alert), Via: incident.ViaSource, Severity: rule.Open,
		Title: fmt.Sprintf("Storm of alerts: more than %d incidents within %s", limit.Incidents, per),
		Text: fmt.Sprintf("Alerts opened %d incidents within %s. What comes on top is gathered here, counted and not lost, until fewer come. split takes it apart.",
			limit.Incidents, per)}, stormKey)
	return id, err
}

// short writes 5m for 5m0s, and 1h for 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	for _, unit := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, unit) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// gathered counts a correlation for the storm, starts or restarts its clock,
// and says how it grows: at the 10th, the 100th …
func (r *reporting) gathered(id incident.ID) error {
	storm, err := r.tx.Storm(id)
	if err != nil {
		return fmt.Errorf("read the storm of %s: %w", id, err)
	}
	storm.Gathered++
	if storm.At.IsZero() || storm.Ended {
		if storm.Ended {
			if err := r.remark(id, incident.Alert{Source: "storm"}, "The storm goes on: more than "+strconv.Itoa(r.d.Storm.Incidents)+" new correlations within "+r.d.Storm.Per.String()+"."); err != nil {
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
	} else if mark := passed(storm.Gathered-1, storm.Gathered); mark != 0 {
		if err := r.remark(id, incident.Alert{Source: "storm"}, fmt.Sprintf("The storm has brought %d correlations since %s.", mark, storm.At.Format(time.RFC3339))); err != nil {
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
	if storm.Ended || storm.Round != number(a.effect, "round") {
		return "over already", nil
	}
	if limit.Incidents > 0 && dr.inc.Status.Live() {
		n, err := s.tx.Openings(s.now.Add(-limit.Per), limit.Incidents)
		if err != nil {
			return "", fmt.Errorf("count what was opened lately: %w", err)
		}
		if n >= limit.Incidents {
			if err := s.tx.Postpone(a.job, s.now.Add(limit.Per)); err != nil {
				return "", fmt.Errorf("put the timer off: %w", err)
			}
			return "", nil
		}
	}
	storm.Ended = true
	if err := s.tx.PutStorm(id, storm); err != nil {
		return "", fmt.Errorf("keep the storm of %s: %w", id, err)
	}
	return "rang", s.remark(id, incident.Alert{Source: "storm"},
		fmt.Sprintf("The storm is over: %d correlations were gathered here. New ones open incidents of their own again.", storm.Gathered))
}
