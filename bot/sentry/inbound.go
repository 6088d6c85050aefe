package sentry

import (
	"fmt"
	"net/http"
	"strings"

	"tocsin/bot/incident"
)

// Decode returns an alert, a note or nothing for a webhook. An unknown resource or
// action is an error, because Sentry adds new ones without notice and a person should
// review them.
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
	case "comment", "seer", "preprod_artifact": // remarks about an issue are not alerts
		return nil, nil
	case "":
		return nil, fmt.Errorf("decode sentry webhook: header %s is missing (the legacy webhooks plugin is not supported)", headerResource)
	}
	return nil, fmt.Errorf("decode sentry webhook: unknown resource %q", resource)
}

func (p *payload) unknownAction(resource string) error {
	return fmt.Errorf("decode sentry %s: unknown action %q", resource, p.Action)
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
		text := string(p.Action)
		if is.Substatus != "" && (text == "archived" || text == "ignored") {
			text += " (" + strings.ReplaceAll(string(is.Substatus), "_", " ") + ")"
		}
		if to := is.AssignedTo.name(); to != "" && text == "assigned" {
			text += " to " + to
		}
		return p.note(p.locate(is.Project.key(), is.urls()...).correlation(), fmt.Sprintf("%s: %s", is.label(), text)), nil
	}
	return nil, p.unknownAction("issue")
}

// issueAlert returns the alert for an issue, with the title of the issue and the time
// of its last event.
func (p *payload) issueAlert(kind string, is *issue) incident.Alert {
	place := p.locate(is.Project.key(), is.urls()...)
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
		Source: sourceName, Kind: kind, Level: level(is.Level),
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
		return nil, fmt.Errorf("decode sentry %s: issue_id and event_id are both missing", resource)
	}
	if p.Action != "triggered" && p.Action != "created" {
		return nil, p.unknownAction(resource)
	}
	rule := first(string(p.Data.TriggeredRule), string(p.Data.IssueAlert.Title))
	place := p.locate(ev.Project, ev.URL, ev.WebURL, ev.IssueURL)
	issueID := ev.IssueID
	if issueID == "" {
		issueID = ev.EventID
	}
	return alert(incident.Alert{
		Source: sourceName, Kind: "sentry." + resource, Level: level(ev.Level),
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
	place := p.locate(text(strings.Join(projects, "+")), p.Data.WebURL)
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
			Source: sourceName, Kind: "sentry.metric_alert", Level: lv,
			Title:  first(title, "Sentry metric alert "+string(m.ID)),
			Detail: lines(field("Alert rule", m.Rule.Name), p.Data.DescriptionText, field("Query", m.Rule.Query)),
			// A warning and a critical alert differ, because the second may raise the severity.
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

// activitySignals returns an alert for an activity alert, which Sentry sends if a rule
// matches a change of an issue.
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

// installationSignals returns an alert if the integration was removed, because Sentry
// sends no more alerts afterwards.
func (p *payload) installationSignals() ([]incident.Signal, error) {
	in := p.Data.Installation
	switch p.Action {
	case "created":
		return nil, nil
	case "deleted":
		return alert(incident.Alert{
			Source: sourceName, Kind: "sentry.installation", Level: incident.LevelMedium,
			Title:       "Sentry integration removed: Tocsin receives no more alerts from " + first(string(in.Organization.Slug), "this organisation"),
			Detail:      lines(field("Integration", in.App.Slug), field("Removed by", p.Actor.Name)),
			Fingerprint: join(":", "sentry.installation", in.UUID, p.Installation.UUID),
			EventID:     string(in.UUID),
		}), nil
	}
	return nil, p.unknownAction("installation")
}

func alert(a incident.Alert) []incident.Signal { return []incident.Signal{{Alert: &a}} }

// note returns a note about a change in Sentry for the incident with the correlation
// key. It does not change the status of the incident.
func (p *payload) note(correlation, text string) []incident.Signal {
	if actor := p.Actor.name(); actor != "" {
		text += " by " + actor
	}
	return []incident.Signal{{
		Command: &incident.Command{
			Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: sourceName},
			Auth: "sentry webhook", Via: incident.ViaSource, Text: "Sentry: " + text,
		},
		Subject: incident.IncidentRef{Correlation: correlation},
	}}
}

// level converts Sentry's level. An unknown level becomes medium for a responder to
// review.
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
