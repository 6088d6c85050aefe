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

// envelope is the envelope of an EventBridge event. An input transformer may remove it.
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

var errNoObject = errors.New("not a JSON object")

// Decode decodes an EventBridge event, a bare record, finding or alarm, an array of
// these, or a log file of CloudTrail. If only some elements of an array are
// unreadable, it returns the others and an informational alert about these. A record
// is unreadable, for example, if it has repeated keys, invalid UTF-8 or too many
// nested levels, because the rules cannot evaluate it.
//
// In a drill, signals have no event names, because replayed events must count again.
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

// Notable reports whether a bare record needs to be stored. It is true if the record
// is more than informational, if a correlation rule counts it, or if it is unreadable.
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
	items, unread, err := readItems(body)
	if err != nil {
		return nil, fmt.Errorf("decode cloudtrail array: %w", err)
	}
	var out []incident.Signal
	bad := 0
	var lastErr error
	for _, item := range items {
		signals, err := s.decodeItem(item)
		if err != nil {
			bad, lastErr = bad+1, err
			continue
		}
		out = append(out, signals...)
	}
	if unread > 0 {
		out = append(out, incident.Signal{Alert: &incident.Alert{
			Source: sourceName, Kind: "cloudtrail.unread", Level: incident.LevelMedium,
			Title:       fmt.Sprintf("%d more records of one CloudTrail delivery were not read", unread),
			Detail:      fmt.Sprintf("Tocsin reads %d records of one delivery. Search the others in CloudTrail, and send fewer records in each delivery.", maxItems),
			Fingerprint: "cloudtrail.unread",
		}})
	}
	switch {
	case bad > 0 && len(out) == 0:
		return nil, fmt.Errorf("decode cloudtrail array: all %d elements failed: %w", len(items), lastErr)
	case bad > 0:
		out = append(out, incident.Signal{Alert: &incident.Alert{
			Source: sourceName, Kind: "cloudtrail.unreadable", Level: incident.LevelInformational,
			Title:       fmt.Sprintf("%d of %d CloudTrail records in one delivery could not be read", bad, len(items)),
			Detail:      lastErr.Error(),
			Fingerprint: "cloudtrail.unreadable",
		}})
	}
	return out, nil
}

// maxItems is the maximum number of records that are read of one delivery. EventBridge
// sends one in each, and log files are read record by record.
const maxItems = 2000

// readItems returns the first elements of an array, and the number of the others.
func readItems(body []byte) (items []json.RawMessage, unread int, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil {
		return nil, 0, err
	}
	for d.More() {
		var item json.RawMessage
		if err := d.Decode(&item); err != nil {
			return nil, 0, err
		}
		if len(items) == maxItems {
			unread++
			continue
		}
		items = append(items, item)
	}
	_, err = d.Token()
	return items, unread, err
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
		return nil, fmt.Errorf("decode cloudtrail event: detail-type %q of %s is not supported. Remove it from the EventBridge rule", env.DetailType, env.Source)
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

// isKnownDetailType reports whether the package decodes a detail-type of EventBridge.
func isKnownDetailType(detailType text) bool {
	switch detailType {
	case "GuardDuty Finding", "CloudWatch Alarm State Change", hubImported, hubAction:
		return true
	}
	return strings.HasSuffix(string(detailType), " via CloudTrail")
}

// decodeDetail decodes a record, a finding or an alarm, which it distinguishes by
// their required fields. The event name must be equal on every path. It therefore
// contains no field of the envelope.
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
	return nil, errors.New("decode cloudtrail event: unknown shape. Expected a CloudTrail record (eventName, eventSource), a GuardDuty finding (id, type, severity) or a CloudWatch alarm")
}
