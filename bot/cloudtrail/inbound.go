package cloudtrail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/text"
)

var errNoObject = errors.New("not a JSON object")

// Decode decodes an EventBridge event, a bare record, finding or alarm, an array of
// these, or a log file of CloudTrail. If only some elements of an array are
// unreadable, it returns the others and an [*intake.Unread]. A record
// is unreadable, for example, if it has repeated keys, invalid UTF-8 or too many
// nested levels, because the rules cannot evaluate it.
func (s *Source) Decode(_ http.Header, body []byte) ([]incident.Signal, error) {
	return s.DecodeEvaluated(nil, body, "")
}

// DecodeEvaluated is like [Source.Decode] for a bare record that [Source.Evaluate] has
// evaluated. If the rules have changed since then, it evaluates the record again.
func (s *Source) DecodeEvaluated(h http.Header, body []byte, evaluation string) ([]incident.Signal, error) {
	r := detect.AcquireRecord()
	defer r.Release()
	return s.decodeBody(r.DecodeItem(bytes.TrimSpace(body)), evaluation)
}

// DecodeItem is like [Source.Decode] for a body that is decoded already.
func (s *Source) DecodeItem(h http.Header, body detect.Item) ([]incident.Signal, error) {
	return s.decodeBody(body, "")
}

// Evaluate evaluates a record of a log file while the file is read. It reports whether
// the record needs to be stored: if it is more than informational, if a correlation
// rule counts it, or if it is unreadable. The evaluation can be stored with the record
// and passed to [Source.DecodeEvaluated].
func (s *Source) Evaluate(record *detect.Item) (evaluation string, notable bool) {
	c, err := open(*record)
	switch {
	case err != nil:
		return "", true
	case c.value.IsObject() && isRecord(c.value):
		return s.evaluateRecord(c.value.Enter())
	}
	signals, err := s.decodeContent(c, "")
	if err != nil {
		return "", true
	}
	for _, s := range signals {
		if s.Alert == nil || s.Alert.Level != incident.LevelInformational || len(s.Observations) > 0 {
			return "", true
		}
	}
	return "", false
}

// decodeBody decodes a list or a single item.
func (s *Source) decodeBody(body detect.Item, evaluation string) ([]incident.Signal, error) {
	if body.Record == nil {
		return s.decodeText(body)
	}
	list := listIn(body.Record.Root())
	if !list.IsArray() {
		return s.decodeItem(body, evaluation)
	}
	unread := -maxItems
	for range list.Elements() {
		unread++
	}
	return joinSignals(func(yield func([]incident.Signal, error) bool) {
		for element := range list.Elements() {
			if !yield(s.decodeItem(detect.Item{Raw: element.Raw(), Record: element.Enter()}, "")) {
				return
			}
		}
	}, max(unread, 0))
}

var recordsField = detect.NewFields("Records")

// listIn returns the array that a body is, or the value of its member Records.
func listIn(body detect.Value) (list detect.Value) {
	if body.IsArray() {
		return body
	}
	for key, member := range body.Members() {
		if recordsField.Index(key) == 0 {
			list = member
		}
	}
	return list
}

// decodeText decodes a body that package detect does not decode. It can still be a
// finding, or a list with only one unreadable record.
func (s *Source) decodeText(body detect.Item) ([]incident.Signal, error) {
	list := body.Raw
	if len(list) == 0 || list[0] != '[' {
		var file struct {
			Records json.RawMessage `json:"Records"`
		}
		if decode(list, &file) != nil || len(file.Records) == 0 || file.Records[0] != '[' {
			return s.decodeItem(body, "")
		}
		list = file.Records
	}
	items, unread, err := readItems(list)
	if err != nil {
		return nil, fmt.Errorf("decode cloudtrail array: %w", err)
	}
	r := detect.AcquireRecord()
	defer r.Release()
	return joinSignals(func(yield func([]incident.Signal, error) bool) {
		for _, item := range items {
			if !yield(s.decodeItem(r.DecodeItem(item), "")) {
				return
			}
		}
	}, unread)
}

// joinSignals returns the signals of the first elements of a list. unread is the number
// of the others.
func joinSignals(items iter.Seq2[[]incident.Signal, error], unread int) ([]incident.Signal, error) {
	var out []incident.Signal
	var bad intake.Unread
	for signals, err := range items {
		bad.Add(err)
		out = append(out, signals...)
		if bad.Items == maxItems {
			break
		}
	}
	if unread > 0 {
		out = append(out, incident.Signal{Unreadable: true, Alert: &incident.Alert{
			Source: sourceName, Kind: "cloudtrail.unread", Level: incident.LevelMedium,
			Title:       fmt.Sprintf("%d more records of one CloudTrail delivery were not read", unread),
			Detail:      fmt.Sprintf("Tocsin reads %d records of one delivery. Search the others in CloudTrail, and send fewer records in each delivery.", maxItems),
			Fingerprint: "cloudtrail.unread", LeftOut: unread,
		}})
	}
	if err := bad.Err(); err != nil {
		return out, fmt.Errorf("decode cloudtrail array: %w", err)
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
	if _, err = d.Token(); err != nil {
		return nil, 0, err
	}
	if _, err = d.Token(); !errors.Is(err, io.EOF) {
		return nil, 0, errors.New("data follows the array")
	}
	return items, unread, nil
}

func (s *Source) decodeItem(item detect.Item, evaluation string) ([]incident.Signal, error) {
	c, err := open(item)
	if err != nil {
		return nil, err
	}
	return s.decodeContent(c, evaluation)
}

// isKnownDetailType reports whether the package decodes a detail-type of EventBridge.
func isKnownDetailType(detailType text.Flex) bool {
	switch detailType {
	case guardDutyFinding, "CloudWatch Alarm State Change", hubImported, hubAction:
		return true
	}
	return strings.HasSuffix(string(detailType), " via CloudTrail")
}

// decodeContent decodes a record, a finding or an alarm, which it distinguishes by
// their required fields. The event name must be equal on every path. It therefore
// contains no field of the envelope.
func (s *Source) decodeContent(c content, evaluation string) ([]incident.Signal, error) {
	if c.DetailType == hubImported || c.DetailType == hubAction {
		return hubSignals(c.raw, c.envelope)
	}
	if !c.value.IsObject() { // the envelope was not decoded, but its detail can be
		r := detect.AcquireRecord()
		defer r.Release()
		if err := r.Decode(c.raw); err == nil {
			c.value = r.Root()
		} else if isRecordText(c.raw) {
			return nil, fmt.Errorf("decode cloudtrail record: %w", err)
		}
	}
	if c.value.IsObject() && isRecord(c.value) {
		return []incident.Signal{s.recordSignal(c, evaluation)}, nil
	}
	var f finding
	if err := decode(c.raw, &f); err != nil {
		return nil, fmt.Errorf("decode guardduty finding: %w", err)
	}
	if f.isComplete(c.DetailType) {
		f.AccountID, f.Region = text.Flex(firstNonEmpty(f.AccountID, c.Account)), text.Flex(firstNonEmpty(f.Region, c.Region))
		a := f.alert()
		return []incident.Signal{{Alert: &a, Event: f.version()}}, nil
	}
	var w alarm
	if err := decode(c.raw, &w); err != nil {
		return nil, fmt.Errorf("decode cloudwatch alarm: %w", err)
	}
	if w.isComplete() {
		return []incident.Signal{w.signal(c.envelope)}, nil
	}
	return nil, errors.New("decode cloudtrail event: unknown shape. Expected a CloudTrail record (eventName, eventSource), a GuardDuty finding (id, type, severity) or a CloudWatch alarm")
}

// recordSignal returns the signal of a record.
func (s *Source) recordSignal(c content, evaluation string) incident.Signal {
	var r record
	r.read(c.value)
	event := ""
	if r.EventID != "" {
		event = text.Join("|", "cloudtrail", r.Account, r.EventID)
	}
	r.Account, r.Region = text.Flex(firstNonEmpty(r.Account, r.UserIdentity.AccountID, c.Account)), text.Flex(firstNonEmpty(r.Region, c.Region))
	r.EventTime = text.Flex(firstNonEmpty(r.EventTime, r.Timestamp, c.Time))
	signal := s.evaluate(&r, c.value.Enter(), evaluation)
	signal.Event = event
	return signal
}
