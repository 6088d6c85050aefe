package cloudtrail

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// What Security Hub sends: findings as they come in and change, and those that a
// person picked. Its insights are sums over findings and no alerts.
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

// hubSignals takes the findings of one event apart. One that cannot be read
// does not hold up the others.
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
		return nil, errors.New("decode security hub event: it has no finding that can be read (Id)")
	case bad > 0:
		out = append(out, incident.Signal{Alert: &incident.Alert{
			Source: sourceName, Kind: "securityhub.unreadable", Level: incident.LevelInformational, Fingerprint: "securityhub.unreadable",
			Title: fmt.Sprintf("%d of %d Security Hub findings in one delivery could not be read", bad, len(d.Findings))}})
	}
	return out, nil
}

// signal: a finding that is dealt with is a note in the incident it belongs to;
// one that a person picked is an alert whatever it says of itself.
func (f *asff) signal(env envelope, action text) incident.Signal {
	picked := env.DetailType == hubAction
	alert := f.alert()
	event := ""
	switch {
	case picked && env.ID != "":
		event = joinNonEmpty("|", "securityhub action", env.ID, f.ID)
	case !picked && f.UpdatedAt != "": // which stays as it is where a person changes the workflow or the severity
		event = joinNonEmpty("|", "securityhub", f.Account, f.ID, f.UpdatedAt, f.RecordState, f.Workflow.Status, f.Severity.Label)
	}
	if over := f.resolution(); over != "" && !picked {
		said := sourceNote(event, alert.Correlation, "Security Hub: "+string(over)+": "+alert.Title)
		// It is sent again every day, each time with a later UpdatedAt, and is said once
		// for each time that it came.
		said.Command.Key, said.Subject.Fingerprint = joinNonEmpty("|", "securityhub", f.Account, f.ID, over), alert.Fingerprint
		return said
	}
	if action != "" {
		alert.Tags["action"] = string(action)
	}
	return incident.Signal{Event: event, Alert: &alert}
}

// resolution says in which way a finding is dealt with; "" if it is not.
func (f *asff) resolution() text {
	switch {
	case f.RecordState == "ARCHIVED":
		return "archived"
	case f.Workflow.Status == "RESOLVED", f.Workflow.Status == "SUPPRESSED":
		return text(strings.ToLower(string(f.Workflow.Status)))
	}
	return ""
}

// isPassingCheck reports a check that found nothing, and did not before: its first pass.
// Once it had failed, to pass resolves it.
func (f *asff) isPassingCheck() bool { return f.Compliance.Status == "PASSED" && f.resolution() == "" }

func (f *asff) alert() incident.Alert {
	kind := "finding"
	if len(f.Types) > 0 {
		kind = string(f.Types[0])
	}
	who, key := f.subject()
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
			field("Resources", text(joinNonEmpty(", ", resources...))), field("What to do", text(joinNonEmpty(" ", fix.Text, fix.URL)))),
		Fingerprint: "securityhub|" + string(f.Account) + "|" + string(f.ID), Correlation: "cloudtrail:" + string(f.Account) + ":" + key,
		EventID: string(f.ID), At: parseTime(text(firstNonEmpty(f.UpdatedAt, f.Observed, f.CreatedAt))), Account: string(f.Account), Region: string(f.Region),
		Principal: who, Sample: f.Sample || strings.HasPrefix(string(f.Title), "[SAMPLE]"), URL: consoleURL(string(f.Region), "securityhub/home", "/findings"),
		Tags: map[string]string{"finding_type": kind, "severity": firstNonEmpty(f.Severity.Label, f.Severity.Normalized)},
	}
	for label, v := range map[string]text{"product": product, "workflow": f.Workflow.Status, "compliance": f.Compliance.Status} {
		if v != "" {
			a.Tags[label] = string(v)
		}
	}
	return a
}

// subject is whom or what the finding is about, named as in a record or in a
// finding of GuardDuty, so that all that one identity does is one incident.
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

// level follows the label, and the number where an old product sends only that.
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
		return incident.LevelMedium // it is a finding, whatever its severity says
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
