package cloudtrail

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// alarm is a state change of a CloudWatch alarm. It has the fields of both forms:
// the message that an alarm publishes to an SNS topic, and the detail of an
// EventBridge event.
type alarm struct {
	Name        text.Flex `json:"AlarmName"` // in both forms, because keys match in any case
	ARN         text.Flex `json:"AlarmArn"`
	Description text.Flex `json:"AlarmDescription"`
	Account     text.Flex `json:"AWSAccountId"`
	NewState    text.Flex `json:"NewStateValue"`
	OldState    text.Flex `json:"OldStateValue"`
	Why         text.Flex `json:"NewStateReason"`
	Changed     text.Flex `json:"StateChangeTime"`

	State struct {
		Value     text.Flex `json:"value"`
		Reason    text.Flex `json:"reason"`
		Timestamp text.Flex `json:"timestamp"`
	} `json:"state"`
	Previous struct {
		Value text.Flex `json:"value"`
	} `json:"previousState"`
	Configuration struct {
		Description text.Flex `json:"description"`
	} `json:"configuration"`
}

// isComplete reports whether the required fields of an alarm are set.
func (a *alarm) isComplete() bool {
	return a.Name != "" && firstNonEmpty(a.NewState, a.State.Value) != ""
}

// signal returns an alert for the states ALARM and INSUFFICIENT_DATA, and a note on
// the alarm's incident for the state OK.
func (a *alarm) signal(env envelope) incident.Signal {
	arn := string(a.ARN)
	for _, r := range env.Resources {
		arn = firstNonEmpty(text.Flex(arn), r)
	}
	region, account := regionAndAccount(arn)
	region, account = firstNonEmpty(text.Flex(region), env.Region), firstNonEmpty(text.Flex(account), a.Account, env.Account)
	state, changed := firstNonEmpty(a.NewState, a.State.Value), firstNonEmpty(a.Changed, a.State.Timestamp)
	at := text.Timestamp(text.Flex(changed), env.Time)
	correlation := "cloudwatch:" + account + ":" + region + ":" + string(a.Name)
	event := text.Join("|", "cloudwatch", text.Flex(account), text.Flex(region), a.Name, text.Flex(state), text.Flex(at.UTC().Format(time.RFC3339Nano)))
	if at.IsZero() {
		event = "" // without a time, two state changes could not be distinguished
	}
	if state == "OK" {
		return sourceNote(event, correlation, text.WithUnreadTime("CloudWatch: the alarm "+string(a.Name)+" returned to OK", text.Flex(changed), env.Time))
	}
	level, title := incident.LevelMedium, "CloudWatch alarm: "
	if state != "ALARM" {
		level, title = incident.LevelLow, "CloudWatch alarm without data: "
	}
	return incident.Signal{Event: event, Alert: &incident.Alert{
		Source: sourceName, Kind: "cloudwatch.alarm", Level: level, Title: title + string(a.Name),
		Detail:      text.Join("\n", text.Flex(firstNonEmpty(a.Description, a.Configuration.Description)), text.Flex(firstNonEmpty(a.Why, a.State.Reason)), text.Field("Time", text.UnreadTime(at, text.Flex(changed), env.Time))),
		Fingerprint: "cloudwatch|" + account + "|" + region + "|" + string(a.Name) + "|" + state, Correlation: correlation,
		EventID: text.Join("/", text.Flex(arn), text.Flex(changed)), At: at.UTC(), Account: account, Region: region,
		URL:  consoleURL(region, "cloudwatch/home", "alarmsV2:alarm/"+string(a.Name)),
		Tags: map[string]string{"alarm": string(a.Name), "state": state, "state_before": firstNonEmpty(a.OldState, a.Previous.Value)},
	}}
}

// sourceNote returns a note of an outside system, such as the end of an alarm, on the
// incident with a correlation key. A note does not change the status.
func sourceNote(event, correlation, message string) incident.Signal {
	return incident.Signal{Event: event, Subject: incident.IncidentRef{Correlation: correlation}, Command: &incident.Command{
		Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: sourceName}, Auth: "the source's credential", Via: incident.ViaSource, Text: message}}
}

// regionAndAccount returns the region and the account of an ARN, or empty strings if
// arn is invalid.
func regionAndAccount(arn string) (region, account string) {
	p := strings.SplitN(arn, ":", 6)
	if len(p) < 6 {
		return "", ""
	}
	return p[3], p[4]
}

// consoleURL returns the URL of a page of the AWS console, or "" if region is not a
// region.
func consoleURL(region, page, fragment string) string {
	if !regionName.MatchString(region) {
		return ""
	}
	u := url.URL{Scheme: "https", Host: fmt.Sprintf("%s.console.aws.amazon.com", region), Path: "/" + page, RawQuery: "region=" + region, Fragment: fragment}
	return u.String()
}
