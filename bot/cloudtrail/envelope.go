package cloudtrail

import (
	"encoding/json"
	"fmt"

	"tocsin/bot/detect"
	"tocsin/bot/text"
)

// envelope is the envelope of an EventBridge event. An input transformer may remove it.
type envelope struct {
	ID         text.Flex       `json:"id"`
	DetailType text.Flex       `json:"detail-type"`
	Source     text.Flex       `json:"source"`
	Account    text.Flex       `json:"account"`
	Region     text.Flex       `json:"region"`
	Time       text.Flex       `json:"time"`
	Resources  []text.Flex     `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

var envelopeFields = detect.NewFields("id", "detail-type", "source", "account", "region", "time", "resources", "detail")

// read reads the fields of an envelope and returns the detail. Like encoding/json, it
// ignores fields of an unexpected type.
func (e *envelope) read(v detect.Value) (detail detect.Value) {
	texts := [...]*text.Flex{&e.ID, &e.DetailType, &e.Source, &e.Account, &e.Region, &e.Time}
	for key, member := range v.Members() {
		switch i := envelopeFields.Index(key); {
		case i < 0:
		case i < len(texts):
			*texts[i] = text.Flex(member.Text())
		case envelopeFields.Name(i) == "detail":
			detail, e.Detail = member, member.Raw()
		case member.IsArray():
			e.Resources = nil
			for r := range member.Elements() {
				e.Resources = append(e.Resources, text.Flex(r.Text()))
			}
		}
	}
	return detail
}

// content is an item without its envelope: a record, a finding or an alarm.
type content struct {
	envelope              // empty for a bare item
	raw      []byte       // the JSON text
	value    detect.Value // zero if package detect does not decode the item
}

// open returns the content of an item.
func open(item detect.Item) (content, error) {
	if len(item.Raw) == 0 || item.Raw[0] != '{' {
		return content{}, fmt.Errorf("decode cloudtrail event: %w", errNoObject)
	}
	bare := content{raw: item.Raw}
	var c content
	if item.Record != nil {
		bare.value = item.Record.Root()
		c.value = c.envelope.read(bare.value)
	} else if err := decode(item.Raw, &c.envelope); err != nil {
		return content{}, fmt.Errorf("decode cloudtrail event: %w", err)
	}
	switch c.raw = c.Detail; {
	case c.DetailType != "" && !isKnownDetailType(c.DetailType):
		return content{}, fmt.Errorf("decode cloudtrail event: detail-type %q of %s is not supported. Remove it from the EventBridge rule", c.DetailType, c.Source)
	case len(c.raw) == 0:
		return bare, nil
	case c.raw[0] != '{':
		return content{}, fmt.Errorf("decode cloudtrail event: detail: %w", errNoObject)
	}
	return c, nil
}

var recordFieldNames = detect.NewFields("eventName", "eventSource")

// isRecord reports whether a value has the required fields of a record.
func isRecord(v detect.Value) bool {
	var has [2]bool
	for key, member := range v.Members() {
		if i := recordFieldNames.Index(key); i >= 0 {
			has[i] = member.HasText()
		}
	}
	return has[0] && has[1]
}

// isRecordText is like isRecord for a text that package detect does not decode.
func isRecordText(raw []byte) bool {
	var r struct {
		EventName   text.Flex `json:"eventName"`
		EventSource text.Flex `json:"eventSource"`
	}
	return decode(raw, &r) == nil && r.EventName != "" && r.EventSource != ""
}
