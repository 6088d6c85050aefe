package cloudtrail

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// Types of Security Hub events: new and changed findings, and findings that a person
// selected. Insights are statistics and not supported.
const (
	hubImported = "Security Hub Findings - Imported"
	hubAction   = "Security Hub Findings - Custom Action"
)

// hubDetail is the detail of Security Hub's envelope.
type hubDetail struct {
	Action   text              `json:"actionName"`
	Findings []json.RawMessage `json:"findings"`
}

// asff is a finding in the AWS Security Finding Format.
type asff struct {
	ID          text   `json:"Id"`
	Product     text   `json:"ProductArn"`
	ProductName text   `json:"ProductName"`
	Generator   text   `json:"GeneratorId"`
	Account     text   `json:"AwsAccountId"`
	Region      text   `json:"Region"`
	Types       []text `json:"Types"`
	Title       text   `json:"Title"`
	Description text   `json:"Description"`
	CreatedAt   text   `json:"CreatedAt"`
	UpdatedAt   text   `json:"UpdatedAt"`
	Observed    text   `json:"LastObservedAt"`
	Severity    struct {
		Label      text `json:"Label"`
		Normalized text `json:"Normalized"`
	} `json:"Severity"`
	Resources []asffResource `json:"Resources"`
	Workflow  struct {
		Status text `json:"Status"`
	} `json:"Workflow"`
	RecordState text `json:"RecordState"`
	Compliance  struct {
		Status text `json:"Status"`
	} `json:"Compliance"`
	Remediation struct {
		Recommendation struct {
			Text text `json:"Text"`
			URL  text `json:"Url"`
		} `json:"Recommendation"`
	} `json:"Remediation"`
	Sample bool `json:"Sample"`
}

type asffResource struct {
	Type    text `json:"Type"`
	ID      text `json:"Id"`
	Details struct {
		AccessKey struct {
			UserName  text `json:"UserName"`
			Principal text `json:"PrincipalName"`
			Kind      text `json:"PrincipalType"`
		} `json:"AwsIamAccessKey"`
	} `json:"Details"`
}

// hubSignals decodes the findings of one event. If only some of them are unreadable, it
// returns the others and an informational alert about these.
func hubSignals(detail json.RawMessage, env envelope) ([]incident.Signal, error) {
	var d hubDetail
	if err := decode(detail, &d); err != nil {
		return nil, fmt.Errorf("decode security hub event: %w", err)
	}
	var out []incident.Signal
	good, bad := 0, 0
	for _, raw := range d.Findings {
		var f asff
		if decode(raw, &f) != nil || f.ID == "" {
			bad++
			continue
		}
		good++
		if env.DetailType != hubAction && f.isPassingCheck() {
			continue
		}
		f.Account, f.Region = text(firstNonEmpty(f.Account, env.Account)), text(firstNonEmpty(f.Region, env.Region))
		out = append(out, f.signal(env, d.Action))
	}
	switch {
	case good == 0:
		return nil, errors.New("decode security hub event: no finding has an Id")
	case bad > 0:
		out = append(out, incident.Signal{Alert: &incident.Alert{
			Source: sourceName, Kind: "securityhub.unreadable", Level: incident.LevelInformational, Fingerprint: "securityhub.unreadable",
			Title: fmt.Sprintf("%d of %d Security Hub findings in one delivery could not be read", bad, len(d.Findings))}})
	}
	return out, nil
}

// signal returns an alert for an open finding, and a note on its incident for a resolved
// one. A finding that a person selected is always an alert.
func (f *asff) signal(env envelope, action text) incident.Signal {
	selected := env.DetailType == hubAction
	alert := f.alert()
	event := ""
	switch {
	case selected && env.ID != "":
		event = joinNonEmpty("|", "securityhub action", env.ID, f.ID)
	case !selected && f.UpdatedAt != "": // does not change with the workflow status and the severity
		event = joinNonEmpty("|", "securityhub", f.Account, f.ID, f.UpdatedAt, f.RecordState, f.Workflow.Status, f.Severity.Label)
	}
	if resolution := f.resolution(); resolution != "" && !selected {
		note := sourceNote(event, alert.Correlation, "Security Hub: "+string(resolution)+": "+alert.Title)
		// Security Hub sends a resolved finding every day with a new UpdatedAt. The key
		// limits the notes to one for each time that the finding was open.
		note.Command.Key, note.Subject.Fingerprint = joinNonEmpty("|", "securityhub", f.Account, f.ID, resolution), alert.Fingerprint
		return note
	}
	if action != "" {
		alert.Tags["action"] = string(action)
	}
	return incident.Signal{Event: event, Alert: &alert}
}

// resolution returns "archived", "resolved" or "suppressed", or "" for an open finding.
func (f *asff) resolution() text {
	switch {
	case f.RecordState == "ARCHIVED":
		return "archived"
	case f.Workflow.Status == "RESOLVED", f.Workflow.Status == "SUPPRESSED":
		return text(strings.ToLower(string(f.Workflow.Status)))
	}
	return ""
}

// isPassingCheck reports whether the finding is a compliance check that passes and has
// never failed. A check that passes after a failure is resolved instead.
func (f *asff) isPassingCheck() bool { return f.Compliance.Status == "PASSED" && f.resolution() == "" }

func (f *asff) alert() incident.Alert {
	kind := "finding"
	if len(f.Types) > 0 {
		kind = string(f.Types[0])
	}
	subject, key := f.subject()
	product := f.ProductName
	if product == "" {
		_, p, _ := strings.Cut(string(f.Product), ":product/")
		product = text(p)
	}
	var resources []text
	for _, r := range f.Resources {
		resources = append(resources, text(joinNonEmpty(" ", r.Type, r.ID)))
	}
	fix := f.Remediation.Recommendation
	a := incident.Alert{
		Source: sourceName, Kind: "securityhub." + kind, Level: f.level(), Rule: joinNonEmpty(" ", product, f.Generator),
		Title: firstNonEmpty(f.Title, text("Security Hub finding "+kind)),
		Detail: joinNonEmpty("\n", f.Description, field("Type", text(kind)), field("Severity", f.Severity.Label), field("Product", product),
			field("Resources", text(joinNonEmpty(", ", resources...))), field("Remediation", text(joinNonEmpty(" ", fix.Text, fix.URL)))),
		Fingerprint: "securityhub|" + string(f.Account) + "|" + string(f.ID), Correlation: "cloudtrail:" + string(f.Account) + ":" + key,
		EventID: string(f.ID), At: parseTime(text(firstNonEmpty(f.UpdatedAt, f.Observed, f.CreatedAt))), Account: string(f.Account), Region: string(f.Region),
		Principal: subject, Sample: f.Sample || strings.HasPrefix(string(f.Title), "[SAMPLE]"), URL: consoleURL(string(f.Region), "securityhub/home", "/findings"),
		Tags: map[string]string{"finding_type": kind, "severity": firstNonEmpty(f.Severity.Label, f.Severity.Normalized)},
	}
	for label, v := range map[string]text{"product": product, "workflow": f.Workflow.Status, "compliance": f.Compliance.Status} {
		if v != "" {
			a.Tags[label] = string(v)
		}
	}
	return a
}

// subject returns the identity or resource of a finding: a name for responders and a
// part of the correlation key. The key is equal to the key of a record or a GuardDuty
// finding, because all actions of one identity belong to one incident.
func (f *asff) subject() (shown, key string) {
	for _, r := range f.Resources {
		k := r.Details.AccessKey
		user := firstNonEmpty(k.Principal, k.UserName)
		switch {
		case r.Type == "AwsIamAccessKey" && k.Kind == "Root":
			return "root", "root"
		case r.Type == "AwsIamAccessKey" && user != "" && (k.Kind == "AssumedRole" || k.Kind == "Role"):
			return user, "role/" + user
		case r.Type == "AwsIamAccessKey" && user != "":
			return user, "user/" + user
		case r.Type == "AwsS3Bucket":
			bucket := string(r.ID)[strings.LastIndex(string(r.ID), ":")+1:]
			return bucket, "bucket/" + bucket
		case strings.HasPrefix(string(r.ID), "arn:"):
			return string(r.ID), arnKey(string(r.ID))
		case r.ID != "":
			return string(r.ID), "resource/" + string(r.ID)
		}
	}
	return "unknown", "finding/" + string(f.ID)
}

// level maps the severity label, or the number if an old product sends no label.
func (f *asff) level() incident.Level {
	switch strings.ToUpper(string(f.Severity.Label)) {
	case "CRITICAL":
		return incident.LevelCritical
	case "HIGH":
		return incident.LevelHigh
	case "MEDIUM":
		return incident.LevelMedium
	case "LOW":
		return incident.LevelLow
	case "INFORMATIONAL":
		return incident.LevelInformational
	}
	n, err := strconv.ParseFloat(string(f.Severity.Normalized), 64)
	switch {
	case err != nil:
		return incident.LevelMedium // unknown severity
	case n >= 90:
		return incident.LevelCritical
	case n >= 70:
		return incident.LevelHigh
	case n >= 40:
		return incident.LevelMedium
	case n >= 1:
		return incident.LevelLow
	}
	return incident.LevelInformational
}
