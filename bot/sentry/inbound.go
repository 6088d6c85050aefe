package sentry

import (
	"fmt"
	"net/http"
	"strings"

	"tocsin/bot/incident"
)

// Decode says what a webhook means. A resource or an action that is not known
// here is an error: Sentry adds them without notice, and a person should see
// the first of each.
func (*Source) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	resource := strings.ToLower(h.Get(headerResource))
	p, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("decode sentry %s: %w", resource, err)
	}
	switch resource {
	case "issue":
		return p.issueSignals()
	case "event_alert":
		return p.eventSignals(resource, p.Data.Event)
	case "error":
		return p.eventSignals(resource, p.Data.Error)
	case "metric_alert":
		return p.metricSignals()
	case "activity_alert":
		return p.activitySignals()
	case "installation":
		return p.installationSignals()
	case "comment", "seer", "preprod_artifact": // what people and machines say about an issue is no alert
		return nil, nil
	case "":
		return nil, fmt.Errorf("decode sentry webhook: header %s is missing; is this the legacy webhooks plugin?", headerResource)
	}
	return nil, fmt.Errorf("decode sentry webhook: resource %q is unknown", resource)
}

func (p *payload) unknownAction(resource string) error {
	return fmt.Errorf("decode sentry %s: action %q is unknown", resource, p.Action)
}

func (p *payload) issueSignals() ([]incident.Signal, error) {
	is := p.Data.Issue
	if is == nil || is.ID == "" {
		return nil, fmt.Errorf("decode sentry issue: data.issue.id is missing")
	}
	switch p.Action {
	case "created", "unresolved":
		return alert(p.issueAlert("sentry.issue", is)), nil
	case "resolved", "assigned", "archived", "ignored", "unassigned":
		what := string(p.Action)
		if is.Substatus != "" && (what == "archived" || what == "ignored") {
			what += " (" + strings.ReplaceAll(string(is.Substatus), "_", " ") + ")"
		}
		if to := is.AssignedTo.name(); to != "" && what == "assigned" {
			what += " to " + to
		}
		return p.note(p.project(is.Project.key(), is.urls()...).correlation(), fmt.Sprintf("%s: %s", is.label(), what)), nil
	}
	return nil, p.unknownAction("issue")
}

// issueAlert is the alert of an issue. Its title is the issue's, its time the
// last time it was seen.
func (p *payload) issueAlert(kind string, is *issue) incident.Alert {
	place := p.project(is.Project.key(), is.urls()...)
	detail := lines(
		field("Culprit", is.Culprit),
		field("Issue", is.ShortID),
		field("State", text(join(" ", is.Status, is.Substatus))),
		field("Category", is.IssueCategory),
		field("Priority", is.Priority),
		field("Events", is.Count),
		field("Users affected", is.UserCount),
		field("First seen", is.FirstSeen),
	)
	return incident.Alert{
		Source: name, Kind: kind, Level: level(is.Level),
		Title:       first(string(is.Title), "Sentry issue "+string(is.ID)),
		Detail:      detail,
		Fingerprint: join(":", text(kind), text(place.org), is.ID),
		Correlation: place.correlation(),
		EventID:     string(is.ID), At: instant(is.LastSeen),
		URL:     webURL(is.WebURL, is.Permalink),
		Project: place.project, Release: string(is.LastRelease.Version),
	}
}

func (p *payload) eventSignals(resource string, ev *event) ([]incident.Signal, error) {
	if ev == nil || ev.IssueID == "" && ev.EventID == "" {
		return nil, fmt.Errorf("decode sentry %s: neither issue_id nor event_id is there", resource)
	}
	if p.Action != "triggered" && p.Action != "created" {
		return nil, p.unknownAction(resource)
	}
	rule := first(string(p.Data.TriggeredRule), string(p.Data.IssueAlert.Title))
	place := p.project(ev.Project, ev.URL, ev.WebURL, ev.IssueURL)
	issueID := ev.IssueID
	if issueID == "" {
		issueID = ev.EventID
	}
	return alert(incident.Alert{
		Source: name, Kind: "sentry." + resource, Level: level(ev.Level),
		Title:       ev.title(),
		Detail:      lines(field("Alert rule", text(rule)), field("Culprit", ev.Culprit), field("Request", ev.request()), ev.stack()),
		Fingerprint: join(":", "sentry."+text(resource), text(place.org), issueID, text(rule)),
		Correlation: place.correlation(),
		EventID:     string(ev.EventID), At: ev.at(),
		URL:     webURL(ev.WebURL, ev.IssueURL),
		Project: place.project, Release: first(string(ev.Release), ev.Tags["release"]),
		Environment: first(string(ev.Environment), ev.Tags["environment"]),
		Principal:   first(string(ev.User.ID), string(ev.User.Username), string(ev.User.Email)),
		Address:     string(ev.User.IP),
		Tags:        ev.Tags, Rule: rule,
		Sample: ev.Tags["sample_event"] == "yes",
	}), nil
}

func (p *payload) metricSignals() ([]incident.Signal, error) {
	m := p.Data.MetricAlert
	if m == nil || m.ID == "" && m.Rule.ID == "" {
		return nil, fmt.Errorf("decode sentry metric_alert: data.metric_alert.id is missing")
	}
	projects := m.Projects
	if len(projects) == 0 {
		projects = m.Rule.Projects
	}
	place := p.project(text(strings.Join(projects, "+")), p.Data.WebURL)
	title := first(string(p.Data.DescriptionTitle), string(m.Title))
	switch p.Action {
	case "critical", "warning":
		lv := incident.LevelMedium
		if p.Action == "critical" {
			lv = incident.LevelCritical
		}
		rule := m.Rule.ID
		if rule == "" {
			rule = m.ID
		}
		return alert(incident.Alert{
			Source: name, Kind: "sentry.metric_alert", Level: lv,
			Title:  first(title, "Sentry metric alert "+string(m.ID)),
			Detail: lines(field("Alert rule", m.Rule.Name), p.Data.DescriptionText, field("Query", m.Rule.Query)),
			// A warning that turns critical is another alert: it may raise the severity.
			Fingerprint: join(":", "sentry.metric_alert", text(place.org), rule, p.Action),
			Correlation: place.correlation(),
			EventID:     string(m.ID), At: instant(m.Detected, m.Started, m.Created),
			URL: webURL(p.Data.WebURL), Project: place.project,
			Environment: string(m.Rule.Environment), Rule: string(m.Rule.Name),
		}), nil
	case "resolved":
		return p.note(place.correlation(), first(title, "metric alert "+string(m.ID))+": resolved"), nil
	}
	return nil, p.unknownAction("metric_alert")
}

// activitySignals is the alert of a monitor that watches what happens to
// issues. Somebody configured it to ring here.
func (p *payload) activitySignals() ([]incident.Signal, error) {
	is := p.Data.Issue
	if is == nil || is.ID == "" {
		return nil, fmt.Errorf("decode sentry activity_alert: data.issue.id is missing")
	}
	a := p.issueAlert("sentry.activity_alert", is)
	a.Fingerprint += ":" + string(p.Data.Activity.Type)
	a.Rule = string(p.Data.Alert.Title)
	a.Detail = lines(field("Alert rule", p.Data.Alert.Title), field("Activity", p.Data.Activity.Type), text(a.Detail))
	return alert(a), nil
}

// installationSignals: that the integration is gone must not pass in silence,
// because from then on no alert comes from there.
func (p *payload) installationSignals() ([]incident.Signal, error) {
	in := p.Data.Installation
	switch p.Action {
	case "created":
		return nil, nil
	case "deleted":
		return alert(incident.Alert{
			Source: name, Kind: "sentry.installation", Level: incident.LevelMedium,
			Title:       "The Sentry integration was removed: no more alerts will come from " + first(string(in.Organization.Slug), "this organisation"),
			Detail:      lines(field("Integration", in.App.Slug), field("Removed by", p.Actor.Name)),
			Fingerprint: join(":", "sentry.installation", in.UUID, p.Installation.UUID),
			EventID:     string(in.UUID),
		}), nil
	}
	return nil, p.unknownAction("installation")
}

func alert(a incident.Alert) []incident.Signal { return []incident.Signal{{Alert: &a}} }

// note is what somebody did over there: it goes into the timeline of the
// incident with that correlation key and moves nothing.
func (p *payload) note(correlation, what string) []incident.Signal {
	if who := p.Actor.name(); who != "" {
		what += " by " + who
	}
	return []incident.Signal{{
		Command: &incident.Command{
			Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: name},
			Auth: "sentry webhook", Via: incident.ViaSource, Text: "Sentry: " + what,
		},
		Subject: incident.IncidentRef{Correlation: correlation},
	}}
}

// level translates Sentry's level. One that is not known is taken seriously
// enough to be looked at.
func level(s text) incident.Level {
	switch strings.ToLower(string(s)) {
	case "fatal":
		return incident.LevelCritical
	case "error":
		return incident.LevelHigh
	case "info":
		return incident.LevelLow
	case "debug", "sample":
		return incident.LevelInformational
	}
	return incident.LevelMedium
}
