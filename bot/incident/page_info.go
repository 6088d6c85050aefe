package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is the kind of an incident in words of a closed list. It holds no text of people
// or senders, so a page about a restricted incident may contain it.
type Kind string

// The kinds, the most serious first. Of several, the first one applies.
const (
	KindDataExposure      Kind = "possible data exposure"
	KindLeakedCredentials Kind = "possible leaked credentials"
	KindCloudActivity     Kind = "suspicious cloud activity"
	KindAuditLog          Kind = "audit log problem"
	KindVulnerability     Kind = "vulnerability report"
	KindApplicationError  Kind = "application error"
	KindMonitoring        Kind = "monitoring alert"
	KindPagerDuty         Kind = "incident raised in PagerDuty"
	KindOther             Kind = "security incident"
)

var kindOrder = []Kind{KindDataExposure, KindLeakedCredentials, KindCloudActivity, KindAuditLog, KindVulnerability, KindApplicationError, KindMonitoring, KindPagerDuty, KindOther}

// playbookKinds are the kinds of the built-in playbooks.
var playbookKinds = map[string]Kind{"data-exposure": KindDataExposure, "leaked-aws-credentials": KindLeakedCredentials}

// alertKinds are the kinds of alerts, by the first word of AlertRef.Kind.
var alertKinds = map[string]Kind{
	"cloudtrail": KindCloudActivity, "guardduty": KindCloudActivity, "securityhub": KindCloudActivity,
	"trail": KindAuditLog, "sns": KindAuditLog, "report": KindVulnerability, "sentry": KindApplicationError,
	"alertmanager": KindMonitoring, "cloudwatch": KindMonitoring, "pagerduty": KindPagerDuty,
}

// Kind returns the kind of the incident: of its playbooks, otherwise of its alerts.
func (i Incident) Kind() Kind {
	found := map[Kind]bool{}
	for _, run := range i.Runs {
		found[playbookKinds[run.Playbook]] = true
	}
	delete(found, "")
	if len(found) == 0 {
		for _, a := range i.Alerts {
			word, _, _ := strings.Cut(a.Kind, ".")
			found[alertKinds[word]] = true
		}
	}
	for _, kind := range kindOrder {
		if found[kind] {
			return kind
		}
	}
	return KindOther
}

// systemNames are the sources and chats whose name in the configuration is not the usual
// one.
var systemNames = map[string]string{
	"sentry": "Sentry", "cloudtrail": "CloudTrail", "trail": "CloudTrail log files", "sns": "Amazon SNS", "pagerduty": "PagerDuty",
	"alertmanager": "Alertmanager", "report": "outside reporter", "slack": "Slack", SystemTocsin: "Tocsin",
}

// SystemName returns the usual name of a source or chat.
func SystemName(name string) string { return firstOf(systemNames[name], name) }

// sourceName returns where the incident comes from: the source of its first alert, whose
// name is in the configuration, or people.
func (i Incident) sourceName() string {
	if len(i.Alerts) == 0 {
		return "reported by a person"
	}
	a := i.Alerts[0]
	if a.Kind == "report.hackerone" {
		return "HackerOne"
	}
	return SystemName(a.Source)
}

// Subject returns the kind and the source of the incident, such as "possible data
// exposure (Sentry)".
func (i Incident) Subject() string { return fmt.Sprintf("%s (%s)", i.Kind(), i.sourceName()) }

// PageInfo is the public part of a page, also about a restricted incident.
type PageInfo struct {
	Subject string    `json:"subject"` // see [Incident.Subject]
	Links   PageLinks `json:"links"`
	Note    string    `json:"note,omitempty"` // about the state of Tocsin, a sentence without its full stop
}

// PageLinks are the addresses in a page. Each one may be empty.
type PageLinks struct {
	Status  string `json:"status,omitempty"`  // the status page of the incident, or the channel
	Chat    string `json:"chat,omitempty"`    // the channel of the incident, or the chat
	Runbook string `json:"runbook,omitempty"` // of the playbook
	Call    string `json:"call,omitempty"`    // the conference
}

// PageLink is one address in a page with its label.
type PageLink struct{ Label, URL string }

// List returns the addresses in the order in which people need them, each once.
func (l PageLinks) List() []PageLink {
	var out []PageLink
	for _, link := range []PageLink{{"Where to go", l.Status}, {"Channel", l.Chat}, {"Call", l.Call}, {"Runbook", l.Runbook}} {
		if link.URL != "" && !slices.ContainsFunc(out, func(o PageLink) bool { return o.URL == link.URL }) {
			out = append(out, link)
		}
	}
	return out
}

// AcknowledgeHint is the part of a page that names the consequence of an acknowledgement.
const AcknowledgeHint = "acknowledge: you command"

// PageHeadline returns the title of a page without the mark of its origin: "INC-42 sev1:
// possible data exposure (Sentry)".
func (b Brief) PageHeadline() string {
	return fmt.Sprintf("%s %s: %s", b.Incident.ID, b.Incident.Severity, firstOf(b.Page.Subject, string(KindOther)))
}

// PageTitle returns the title of a page. It begins with the mark of the origin and the
// ID, because notes of a pager identify their incident by it.
func (b Brief) PageTitle() string { return b.Incident.Origin.Marked(b.PageHeadline()) }

// PageNumber returns the number of a paging round for people: 1 for the first one. Rounds that a restore skipped do not
// count.
func (i Incident) PageNumber(round int) int {
	n := round
	for _, gap := range i.RoundGaps {
		if round >= gap.Before {
			n -= gap.Before - gap.After - 1
		}
	}
	return n
}

// StatusPage holds the data of the status page of an incident. It has no names.
type StatusPage struct {
	ID             ID
	Origin         Origin
	Severity       Severity
	Status         Status
	Title          string // empty if the incident is restricted
	Page           PageInfo
	OpenedAt       time.Time
	Acknowledged   bool
	AcknowledgedAt time.Time
	MergedInto     ID
}
