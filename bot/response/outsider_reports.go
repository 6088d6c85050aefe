package response

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// Limits of reports by accounts that belong to no person of the configuration.
const (
	reportWindow     = time.Hour
	maxReports       = 10 // of one account within reportWindow, later ones are rejected
	maxTeamReports   = 60 // of all accounts of one workspace
	maxTeamIncidents = 5  // that they open, later reports are added to the first one
)

// reportQuota counts the reports of an account or a workspace since a time.
type reportQuota struct {
	Since     time.Time `json:"since"`
	Reports   int       `json:"reports"`
	Incidents int       `json:"incidents"`
}

// quotaKey is the key of a quota. As a correlation key it binds the incident of the
// reports that the quota counts.
type quotaKey struct {
	namespace Namespace
	key       string
}

func (k quotaKey) correlation() string { return string(k.namespace) + "/" + k.key }

// reporterKeys are the keys of a report.
type reporterKeys struct{ account, team quotaKey }

func keysOf(cmd incident.Command) reporterKeys {
	team := string(cmd.By.Provider) + "/"
	if cmd.Reporter != nil {
		team += cmd.Reporter.Team
	}
	return reporterKeys{quotaKey{NamespaceReporter, cmd.By.String()}, quotaKey{NamespaceReporters, team}}
}

// report handles [incident.VerbOpen] by an account that belongs to no person. The
// storm rule applies to each account: its first report opens an incident, and
// further ones are noted there while that incident is live. The reporter gets no
// part of the incident.
func (s *session) report(cmd incident.Command) (incident.Result, error) {
	env, keys := s.env(cmd), keysOf(cmd)
	if cmd.Reporter == nil {
		cmd.Reporter = &incident.Reporter{User: cmd.By.ID}
	}
	cmd.Alert, cmd.Runs, cmd.Public = nil, nil, false
	if _, err := incident.Decide(cmd, incident.New(0), env); err != nil {
		return incident.Result{}, err // a report that is added to an incident must be valid too
	}
	account, err := s.quota(keys.account)
	if err != nil {
		return incident.Result{}, err
	}
	team, err := s.quota(keys.team)
	if err != nil {
		return incident.Result{}, err
	}
	if cmd.Key != "" {
		fresh, err := s.tx.RecordCommandKey(0, authorKey(cmd))
		if err != nil {
			return incident.Result{}, fmt.Errorf("store command key: %w", err)
		}
		if !fresh {
			return incident.Result{Reported: true, Unchanged: true}, nil
		}
	}
	until := account.Since.Add(reportWindow)
	switch {
	case account.Reports >= maxReports:
		return incident.Result{}, errTooManyReports(until, s.now)
	case team.Reports >= maxTeamReports:
		return incident.Result{}, errTooManyReports(team.Since.Add(reportWindow), s.now)
	}
	account.Reports++
	team.Reports++
	note := ""
	if account.Reports == maxReports {
		note = fmt.Sprintf("This is report %d of the account within an hour. Tocsin rejects further ones until %s.", maxReports, incident.ClockText(until, s.now))
	}
	if err := s.addReport(cmd, keys, &team, note); err != nil {
		return incident.Result{}, err
	}
	if err := s.putQuota(keys.account, account); err != nil {
		return incident.Result{}, err
	}
	return incident.Result{Reported: true}, s.putQuota(keys.team, team)
}

func errTooManyReports(until, now time.Time) error {
	return incident.Conflict("there were too many reports within an hour. Responders read the earlier ones, report again after %s", incident.ClockText(until, now))
}

// addReport adds a report to the live incident of its account. Without one it opens
// an incident, unless the accounts of the workspace opened too many.
func (s *session) addReport(cmd incident.Command, keys reporterKeys, team *reportQuota, note string) error {
	find := []string{keys.account.correlation()}
	if team.Incidents >= maxTeamIncidents {
		find = append(find, keys.team.correlation())
	}
	id, err := firstIncident(s.tx, find...)
	if err != nil {
		return fmt.Errorf("find the incident of a report: %w", err)
	}
	if id == 0 {
		team.Incidents++
		if id, err = s.tx.NewID(); err != nil {
			return fmt.Errorf("allocate an incident number: %w", err)
		}
		if _, err := s.create(id, cmd, keys.account.correlation()); err != nil {
			return err
		}
		return s.bindCorrelation(keys.team.correlation(), id)
	}
	text := cmd.Title
	for _, more := range []string{cmd.Text, note} {
		if more != "" {
			text += "\n\n" + more
		}
	}
	_, err = s.decide(incident.Command{Verb: incident.VerbSourceNote, For: id, By: incident.Identity{Provider: incident.ProviderSource, ID: string(cmd.By.Provider)},
		Auth: cmd.Auth, Via: cmd.Via, Reporter: cmd.Reporter, Text: truncate(text)})
	return err
}

// quota locks and reads a quota. It starts a new one after reportWindow.
func (s *session) quota(k quotaKey) (reportQuota, error) {
	q := reportQuota{Since: s.now}
	if err := getValue(s.tx, k.namespace, k.key, &q); err != nil {
		return q, fmt.Errorf("read quota of reports: %w", err)
	}
	if s.now.Sub(q.Since) >= reportWindow {
		q = reportQuota{Since: s.now}
	}
	return q, nil
}

func (s *session) putQuota(k quotaKey, q reportQuota) error {
	if err := putValue(s.tx, k.namespace, k.key, q, q.Since.Add(reportWindow)); err != nil {
		return fmt.Errorf("store quota of reports: %w", err)
	}
	return nil
}
