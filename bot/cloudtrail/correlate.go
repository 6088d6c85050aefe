package cloudtrail

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// observations converts the type of observations from package detect to incident.
func observations(observed []detect.Observation, about *incident.Alert) []incident.Observation {
	var out []incident.Observation
	for _, o := range observed {
		group := make([]incident.GroupField, len(o.Group))
		for n, g := range o.Group {
			group[n] = incident.GroupField(g)
		}
		out = append(out, incident.Observation{Window: o.Key, Rule: o.Correlation.ID, At: o.At, Event: o.Event, Contributor: o.RuleIndex, Value: o.Value, Group: group, About: about})
	}
	return out
}

// Advance adds observations to their correlation window and returns the firings of
// the rule. All observations must belong to one window. The window is the result of
// the previous call, or nil at first. The caller stores next and can delete it at
// expires. Advance ignores observations of rules that are no longer loaded.
func (s *Source) Advance(window []byte, observed []incident.Observation, now time.Time) (next []byte, expires time.Time, fired []incident.Firing, err error) {
	var w detect.Window
	if len(window) > 0 {
		if err := json.Unmarshal(window, &w); err != nil {
			return nil, expires, nil, fmt.Errorf("decode correlation window: %w", err)
		}
	}
	expires = now
	for n, o := range observed {
		rule := s.correlations[o.Rule]
		if rule == nil {
			continue
		}
		if o.At.IsZero() || o.At.After(now) { // an event cannot be later than its arrival
			o.At = now
		}
		c := rule.Correlation
		group := make([]detect.GroupValue, len(o.Group))
		for k, g := range o.Group {
			group[k] = detect.GroupValue(g)
		}
		var firing *detect.Firing
		w, firing = c.Advance(w, detect.Observation{Correlation: rule, Group: group, Key: o.Window, Event: o.Event, At: o.At, RuleIndex: o.Contributor, Value: o.Value})
		// The lifetime starts now, because old records can arrive late.
		expires = now.Add(c.Timespan + c.Lateness)
		if firing == nil {
			continue
		}
		f := incident.Firing{CompletedBy: n, Alert: correlationAlert(*firing, o)}
		var more []detect.Observation
		firing.Observe(func(o detect.Observation) { more = append(more, o) })
		f.More = observations(more, &f.Alert)
		fired = append(fired, f)
	}
	if next, err = json.Marshal(w); err != nil {
		return nil, expires, nil, fmt.Errorf("encode correlation window: %w", err)
	}
	return next, expires, fired, nil
}

// ExplainCorrelation recognises an alert by its kind, and the list of its events by
// the beginning of a line in the detail. Both are stored.
const (
	kindCorrelation = "cloudtrail.correlation."
	eventsLabel     = "Events ("
)

// maxContributing is the maximum number of events that an alert lists.
const maxContributing = 50

// correlationAlert returns the alert of a correlation rule. The last observation
// completed it. If the rule groups events by principal, the alert gets this principal
// and its correlation key.
func correlationAlert(f detect.Firing, last incident.Observation) incident.Alert {
	rule, about := f.Correlation, last.About
	a := incident.Alert{
		Source: sourceName, Kind: kindCorrelation + firstNonEmpty(text.Flex(rule.Name), text.Flex(rule.ID)), Level: incident.Level(rule.Level), Rule: ruleAndAuthor(rule),
		Fingerprint: "cloudtrail.correlation|" + last.Window, Correlation: "cloudtrail:" + about.Account + ":correlation/" + last.Window,
		EventID: f.Events[len(f.Events)-1], At: f.To, URL: about.URL, Account: about.Account, Region: about.Region,
		Tags: map[string]string{"rule_id": rule.ID},
	}
	var group []string
	for _, g := range f.Group {
		value := g.Value
		if g.Absent {
			value = "none"
		}
		group = append(group, g.Field+" "+value)
		if strings.HasPrefix(g.Field, "userIdentity.") {
			a.Principal, a.Correlation = about.Principal, about.Correlation
		}
		if g.Field == "sourceIPAddress" {
			a.Address = about.Address
		}
	}
	a.Title = rule.Title
	if len(group) > 0 {
		a.Title += " (" + strings.Join(group, ", ") + ")"
	}
	named, rest := f.Events, ""
	if n := len(named) - maxContributing; n > 0 {
		named, rest = named[n:], fmt.Sprintf(" and %d before them", n)
	}
	a.Detail = text.Join("\n", text.Flex(describeRule(rule)), text.Field("Account", text.Flex(text.Join(", ", text.Flex(a.Account), text.Flex(a.Region)))), text.Field("Principal", text.Flex(a.Principal)),
		text.Field("From", text.Flex(f.From.Format(time.RFC3339))), text.Field("To", text.Flex(f.To.Format(time.RFC3339))),
		text.Flex(fmt.Sprintf(eventsLabel+"%d): %s%s", len(f.Events), strings.Join(named, ", "), rest)))
	return a
}
