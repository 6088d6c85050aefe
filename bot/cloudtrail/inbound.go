package cloudtrail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"tocsin/bot/incident"
)

// envelope is EventBridge's. An input transformer may have taken it away.
type envelope struct {
	ID         text            `json:"id"`
	DetailType text            `json:"detail-type"`
	Source     text            `json:"source"`
	Account    text            `json:"account"`
	Region     text            `json:"region"`
	Time       text            `json:"time"`
	Resources  []text          `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

var errNoObject = errors.New("it is no JSON object")

// Decode says what a delivery means: an envelope, a bare record or finding, an
// array of these, or a trail's file. Within an array, what cannot be read does
// not hold up the rest; it becomes an informational alert of its own. A record
// that the rules cannot judge (repeated keys, bad UTF-8, nested too deeply) is
// one that cannot be read. In a drill, events have no names: they are to count
// although they did before.
func (s *Source) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	signals, err := s.decodeBody(body)
	if h.Get(incident.HeaderDrill) != "" {
		for n := range signals {
			signals[n].Event = ""
		}
	}
	return signals, err
}

func (s *Source) decodeBody(body []byte) ([]incident.Signal, error) {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) > 0 && trimmed[0] == '[' {
		return s.decodeList(trimmed)
	}
	var file struct {
		Records json.RawMessage `json:"Records"`
	}
	if decode(trimmed, &file) == nil && len(file.Records) > 0 && file.Records[0] == '[' {
		return s.decodeList(file.Records)
	}
	return s.decodeItem(trimmed)
}

// Notable reports whether a bare record is worth keeping: whether a rule finds
// it more than informational, or counts it. What cannot be read is worth a look.
func (s *Source) Notable(record json.RawMessage) bool {
	signals, err := s.decodeItem(record)
	if err != nil {
		return true
	}
	for _, s := range signals {
		if s.Alert == nil || s.Alert.Level != incident.LevelInformational || len(s.Observations) > 0 {
			return true
		}
	}
	return false
}

func (s *Source) decodeList(body []byte) ([]incident.Signal, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, fmt.Errorf("decode cloudtrail array: %w", err)
	}
	var out []incident.Signal
	bad := 0
	var why error
	for _, item := range items {
		signals, err := s.decodeItem(item)
		if err != nil {
			bad, why = bad+1, err
			continue
		}
		out = append(out, signals...)
	}
	switch {
	case bad > 0 && len(out) == 0:
		return nil, fmt.Errorf("decode cloudtrail array: none of %d elements: %w", len(items), why)
	case bad > 0:
		out = append(out, incident.Signal{Alert: &incident.Alert{
			Source: sourceName, Kind: "cloudtrail.unreadable", Level: incident.LevelInformational,
			Title:       fmt.Sprintf("%d of %d CloudTrail records in one delivery could not be read", bad, len(items)),
			Detail:      why.Error(),
			Fingerprint: "cloudtrail.unreadable",
		}})
	}
	return out, nil
}

func (s *Source) decodeItem(body []byte) ([]incident.Signal, error) {
	if len(body) == 0 || body[0] != '{' {
		return nil, fmt.Errorf("decode cloudtrail event: %w", errNoObject)
	}
	var env envelope
	if err := decode(body, &env); err != nil {
		return nil, fmt.Errorf("decode cloudtrail event: %w", err)
	}
	switch {
	case env.DetailType != "" && !isKnownDetailType(env.DetailType):
		return nil, fmt.Errorf("decode cloudtrail event: detail-type %q of %s is none of CloudTrail's, nor a finding or an alarm", env.DetailType, env.Source)
	case len(env.Detail) > 0:
		if env.Detail[0] != '{' {
			return nil, fmt.Errorf("decode cloudtrail event: detail: %w", errNoObject)
		}
		if env.DetailType == hubImported || env.DetailType == hubAction {
			return hubSignals(env.Detail, env)
		}
		return s.decodeDetail(env.Detail, env)
	}
	return s.decodeDetail(body, envelope{})
}

func isKnownDetailType(detailType text) bool {
	switch detailType {
	case "GuardDuty Finding", "CloudWatch Alarm State Change", hubImported, hubAction:
		return true
	}
	return strings.HasSuffix(string(detailType), " via CloudTrail")
}

// decodeDetail tells a record, a finding and an alarm by what only one of them
// has. What names a record must be the same by every door, so nothing of the
// envelope is in it.
func (s *Source) decodeDetail(body []byte, env envelope) ([]incident.Signal, error) {
	var r record
	if err := decode(body, &r); err != nil {
		return nil, fmt.Errorf("decode cloudtrail record: %w", err)
	}
	if r.EventName != "" && r.EventSource != "" {
		event := ""
		if r.EventID != "" {
			event = joinNonEmpty("|", "cloudtrail", r.Account, r.EventID)
		}
		r.Account, r.Region = text(firstNonEmpty(r.Account, r.UserIdentity.AccountID, env.Account)), text(firstNonEmpty(r.Region, env.Region))
		r.EventTime = text(firstNonEmpty(r.EventTime, r.Timestamp, env.Time))
		signal, err := s.evaluate(&r, body)
		if err != nil {
			return nil, fmt.Errorf("decode cloudtrail record: %w", err)
		}
		signal.Event = event
		return []incident.Signal{signal}, nil
	}
	var f finding
	if err := decode(body, &f); err != nil {
		return nil, fmt.Errorf("decode guardduty finding: %w", err)
	}
	if f.ID != "" && f.Type != "" && f.Severity != "" {
		f.AccountID, f.Region = text(firstNonEmpty(f.AccountID, env.Account)), text(firstNonEmpty(f.Region, env.Region))
		a := f.alert()
		return []incident.Signal{{Alert: &a, Event: f.version()}}, nil
	}
	var w alarm
	if err := decode(body, &w); err != nil {
		return nil, fmt.Errorf("decode cloudwatch alarm: %w", err)
	}
	if w.isComplete() {
		return []incident.Signal{w.signal(env)}, nil
	}
	return nil, errors.New("decode cloudtrail event: neither a CloudTrail record (eventName, eventSource) nor a GuardDuty finding (id, type, severity) nor a CloudWatch alarm")
}
