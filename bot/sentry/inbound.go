package sentry

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/text"
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
		note := string(p.Action)
		if is.Substatus != "" && (note == "archived" || note == "ignored") {
			note += " (" + strings.ReplaceAll(string(is.Substatus), "_", " ") + ")"
		}
		if to := is.AssignedTo.name(); to != "" && note == "assigned" {
			note += " to " + to
		}
		return p.note(p.locate(is.Project.key(), is.urls()...).correlation(), fmt.Sprintf("%s: %s", is.label(), note)), nil
	}
	return nil, p.unknownAction("issue")
}

// issueAlert returns the alert for an issue, with the title of the issue and the time
// of its last event.
func (p *payload) issueAlert(kind string, is *issue) incident.Alert {
	place := p.locate(is.Project.key(), is.urls()...)
	detail := text.Lines(
		text.Field("Culprit", is.Culprit),
		text.Field("Issue", is.ShortID),
		text.Field("State", scalar(text.Join(" ", is.Status, is.Substatus))),
		text.Field("Category", is.IssueCategory),
		text.Field("Priority", is.Priority),
		text.Field("Events", is.Count),
		text.Field("Users affected", is.UserCount),
		text.Field("First seen", is.FirstSeen),
		text.Field("Last seen", text.UnreadTime(text.Timestamp(is.LastSeen), is.LastSeen)),
	)
	return incident.Alert{
		Source: sourceName, Kind: kind, Level: level(is.Level),
		Title:       cmp.Or(string(is.Title), "Sentry issue "+string(is.ID)),
		Detail:      detail,
		Fingerprint: text.Join(":", scalar(kind), scalar(place.org), is.ID),
		Correlation: place.correlation(),
		EventID:     string(is.ID), At: text.Timestamp(is.LastSeen),
		URL:     text.WebURL(is.WebURL, is.Permalink),
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
	rule := cmp.Or(string(p.Data.TriggeredRule), string(p.Data.IssueAlert.Title))
	place := p.locate(ev.Project, ev.URL, ev.WebURL, ev.IssueURL)
	issueID := ev.IssueID
	if issueID == "" {
		issueID = ev.EventID
	}
	return alert(incident.Alert{
		Source: sourceName, Kind: "sentry." + resource, Level: level(ev.Level),
		Title: ev.title(),
		Detail: text.Lines(text.Field("Alert rule", scalar(rule)), text.Field("Culprit", ev.Culprit), text.Field("Request", ev.request()),
			text.Field("Time", text.UnreadTime(ev.at(), ev.Datetime, ev.Timestamp, ev.Received)), ev.stack()),
		Fingerprint: text.Join(":", "sentry."+scalar(resource), scalar(place.org), issueID, scalar(rule)),
		Correlation: place.correlation(),
		EventID:     string(ev.EventID), At: ev.at(),
		URL:     text.WebURL(ev.WebURL, ev.IssueURL),
		Project: place.project, Release: cmp.Or(string(ev.Release), ev.Tags["release"]),
		Environment: cmp.Or(string(ev.Environment), ev.Tags["environment"]),
		Principal:   cmp.Or(string(ev.User.ID), string(ev.User.Username), string(ev.User.Email)),
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
	place := p.locate(scalar(strings.Join(projects, "+")), p.Data.WebURL)
	title := cmp.Or(string(p.Data.DescriptionTitle), string(m.Title))
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
			Title: cmp.Or(title, "Sentry metric alert "+string(m.ID)),
			Detail: text.Lines(text.Field("Alert rule", m.Rule.Name), p.Data.DescriptionText, text.Field("Query", m.Rule.Query),
				text.Field("Time", text.UnreadTime(text.Timestamp(m.Detected, m.Started, m.Created), m.Detected, m.Started, m.Created))),
			// A warning and a critical alert differ, because the second may raise the severity.
			Fingerprint: text.Join(":", "sentry.metric_alert", scalar(place.org), rule, p.Action),
			Correlation: place.correlation(),
			EventID:     string(m.ID), At: text.Timestamp(m.Detected, m.Started, m.Created),
			URL: text.WebURL(p.Data.WebURL), Project: place.project,
			Environment: string(m.Rule.Environment), Rule: string(m.Rule.Name),
		}), nil
	case "resolved":
		return p.note(place.correlation(), cmp.Or(title, "metric alert "+string(m.ID))+": resolved"), nil
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
	a.Detail = text.Lines(text.Field("Alert rule", p.Data.Alert.Title), text.Field("Activity", p.Data.Activity.Type), scalar(a.Detail))
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
			Title:       "Sentry integration removed: Tocsin receives no more alerts from " + cmp.Or(string(in.Organization.Slug), "this organisation"),
			Detail:      text.Lines(text.Field("Integration", in.App.Slug), text.Field("Removed by", p.Actor.Name)),
			Fingerprint: text.Join(":", "sentry.installation", in.UUID, p.Installation.UUID),
			EventID:     string(in.UUID),
		}), nil
	}
	return nil, p.unknownAction("installation")
}

func alert(a incident.Alert) []incident.Signal { return []incident.Signal{{Alert: &a}} }

// note returns a note about a change in Sentry for the incident with the correlation
// key. It does not change the status of the incident.
func (p *payload) note(correlation, what string) []incident.Signal {
	if actor := p.Actor.name(); actor != "" {
		what += " by " + actor
	}
	return []incident.Signal{{
		Command: &incident.Command{
			Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: sourceName},
			Auth: "sentry webhook", Via: incident.ViaSource, Text: "Sentry: " + what,
		},
		Subject: incident.IncidentRef{Correlation: correlation},
	}}
}

// level converts Sentry's level. An unknown level becomes medium for a responder to
// review.
func level(s scalar) incident.Level {
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
