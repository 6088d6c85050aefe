package cloudtrail

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/text"
)

// Types of Security Hub events: new and changed findings, and findings that a person
// selected. Insights are statistics and not supported.
const (
	hubImported = "Security Hub Findings - Imported"
	hubAction   = "Security Hub Findings - Custom Action"
)

// hubDetail is the detail of Security Hub's envelope.
type hubDetail struct {
	Action   text.Flex         `json:"actionName"`
	Findings []json.RawMessage `json:"findings"`
}

// asff is a finding in the AWS Security Finding Format.
type asff struct {
	ID          text.Flex   `json:"Id"`
	Product     text.Flex   `json:"ProductArn"`
	ProductName text.Flex   `json:"ProductName"`
	Generator   text.Flex   `json:"GeneratorId"`
	Account     text.Flex   `json:"AwsAccountId"`
	Region      text.Flex   `json:"Region"`
	Types       []text.Flex `json:"Types"`
	Title       text.Flex   `json:"Title"`
	Description text.Flex   `json:"Description"`
	CreatedAt   text.Flex   `json:"CreatedAt"`
	UpdatedAt   text.Flex   `json:"UpdatedAt"`
	Observed    text.Flex   `json:"LastObservedAt"`
	Severity    struct {
		Label      text.Flex `json:"Label"`
		Normalized text.Flex `json:"Normalized"`
	} `json:"Severity"`
	Resources []asffResource `json:"Resources"`
	Workflow  struct {
		Status text.Flex `json:"Status"`
	} `json:"Workflow"`
	RecordState text.Flex `json:"RecordState"`
	Compliance  struct {
		Status text.Flex `json:"Status"`
	} `json:"Compliance"`
	Remediation struct {
		Recommendation struct {
			Text text.Flex `json:"Text"`
			URL  text.Flex `json:"Url"`
		} `json:"Recommendation"`
	} `json:"Remediation"`
	Sample bool `json:"Sample"`
}

type asffResource struct {
	Type    text.Flex `json:"Type"`
	ID      text.Flex `json:"Id"`
	Details struct {
		AccessKey struct {
			UserName  text.Flex `json:"UserName"`
			Principal text.Flex `json:"PrincipalName"`
			Kind      text.Flex `json:"PrincipalType"`
		} `json:"AwsIamAccessKey"`
	} `json:"Details"`
}

// hubSignals decodes the findings of one event. If only some of them are unreadable, it
// returns the others and an [*intake.Unread].
func hubSignals(detail json.RawMessage, env envelope) ([]incident.Signal, error) {
	var d hubDetail
	if err := decode(detail, &d); err != nil {
		return nil, fmt.Errorf("decode security hub event: %w", err)
	}
	var out []incident.Signal
	var bad intake.Unread
	for n, raw := range d.Findings {
		f, err := readFinding(n, raw)
		if bad.Add(err); err != nil || env.DetailType != hubAction && f.isPassingCheck() {
			continue
		}
		f.Account, f.Region = text.Flex(firstNonEmpty(f.Account, env.Account)), text.Flex(firstNonEmpty(f.Region, env.Region))
		out = append(out, f.signal(env, d.Action))
	}
	if bad.Items == 0 {
		return nil, errors.New("decode security hub event: it has no findings")
	}
	if err := bad.Err(); err != nil {
		return out, fmt.Errorf("decode security hub event: %w", err)
	}
	return out, nil
}

// readFinding decodes a finding. One without an Id is identified by its other fields.
func readFinding(n int, raw json.RawMessage) (*asff, error) {
	var f asff
	if len(raw) == 0 || raw[0] != '{' {
		return nil, fmt.Errorf("findings[%d]: %w", n, errNoObject)
	}
	if err := decode(raw, &f); err != nil {
		return nil, fmt.Errorf("findings[%d]: %w", n, err)
	}
	if f.ID == "" && f.Title == "" && f.Severity.Label == "" && f.Severity.Normalized == "" {
		return nil, fmt.Errorf("findings[%d] has no Id, no Title and no Severity", n)
	}
	if f.ID == "" {
		resources := make([]text.Flex, len(f.Resources))
		for i, r := range f.Resources {
			resources[i] = r.ID
		}
		f.ID = text.Flex(text.SHA256(text.Join("|", f.Generator, f.Title, text.Flex(text.Join("|", resources...))))[:16])
	}
	return &f, nil
}

// signal returns an alert for an open finding, and a note on its incident for a resolved
// one. A finding that a person selected is always an alert.
func (f *asff) signal(env envelope, action text.Flex) incident.Signal {
	selected := env.DetailType == hubAction
	alert := f.alert()
	event := ""
	switch {
	case selected && env.ID != "":
		event = text.Join("|", "securityhub action", env.ID, f.ID)
	case !selected && f.UpdatedAt != "": // does not change with the workflow status and the severity
		event = text.Join("|", "securityhub", f.Account, f.ID, f.UpdatedAt, f.RecordState, f.Workflow.Status, f.Severity.Label)
	}
	if resolution := f.resolution(); resolution != "" && !selected {
		note := sourceNote(event, alert.Correlation, "Security Hub: "+string(resolution)+": "+alert.Title)
		// Security Hub sends a resolved finding every day with a new UpdatedAt. The key
		// limits the notes to one for each time that the finding was open.
		note.Command.Key, note.Subject.Fingerprint = text.Join("|", "securityhub", f.Account, f.ID, resolution), alert.Fingerprint
		return note
	}
	if action != "" {
		alert.Tags["action"] = string(action)
	}
	return incident.Signal{Event: event, Alert: &alert}
}

// resolution returns "archived", "resolved" or "suppressed", or "" for an open finding.
func (f *asff) resolution() text.Flex {
	switch {
	case f.RecordState == "ARCHIVED":
		return "archived"
	case f.Workflow.Status == "RESOLVED", f.Workflow.Status == "SUPPRESSED":
		return text.Flex(strings.ToLower(string(f.Workflow.Status)))
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
		product = text.Flex(p)
	}
	var resources []text.Flex
	for _, r := range f.Resources {
		resources = append(resources, text.Flex(text.Join(" ", r.Type, r.ID)))
	}
	fix := f.Remediation.Recommendation
	a := incident.Alert{
		Source: sourceName, Kind: "securityhub." + kind, Level: f.level(), Rule: text.Join(" ", product, f.Generator),
		Title: firstNonEmpty(f.Title, text.Flex("Security Hub finding "+kind)),
		Detail: text.Join("\n", f.Description, text.Field("Type", text.Flex(kind)), text.Field("Severity", f.Severity.Label), text.Field("Product", product),
			text.Field("Resources", text.Flex(text.Join(", ", resources...))), text.Field("Remediation", text.Flex(text.Join(" ", fix.Text, fix.URL))),
			unreadTime(f.UpdatedAt, f.Observed, f.CreatedAt)),
		Fingerprint: "securityhub|" + string(f.Account) + "|" + string(f.ID), Correlation: "cloudtrail:" + string(f.Account) + ":" + key,
		EventID: string(f.ID), At: text.Timestamp(f.UpdatedAt, f.Observed, f.CreatedAt), Account: string(f.Account), Region: string(f.Region),
		Principal: subject, Sample: f.Sample || strings.HasPrefix(string(f.Title), "[SAMPLE]"), URL: consoleURL(string(f.Region), "securityhub/home", "/findings"),
		Tags: map[string]string{"finding_type": kind, "severity": firstNonEmpty(f.Severity.Label, f.Severity.Normalized)},
	}
	for label, v := range map[string]text.Flex{"product": product, "workflow": f.Workflow.Status, "compliance": f.Compliance.Status} {
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
