// Package cloudtrail takes what AWS says about an account: CloudTrail records,
// findings of GuardDuty and Security Hub and CloudWatch alarms, as EventBridge
// delivers them to an API destination (in its envelope, bare, or in an array) and
// as others hand them on.
//
// Each signal says by which name AWS knows what happened – a record by its
// account and eventID, a finding by its id and update, an alarm by the moment it
// changed – so that what comes by several doors counts once.
//
// The rules of bot/detect say which records matter and how much. What they count
// over several records goes with the signals as observations, for the desk to
// bring to Advance in the transaction that marks the records handled.
//
// How alerts hang together. The fingerprint of a record is what was done, by
// whom, in which account, to what, with which result: the second StopLogging of
// the same trail is a copy, one that was refused first and succeeded later is
// not. The correlation key is account and principal, with the session name
// dropped and without regard to which access key was used, so that everything
// one stolen identity does is one incident. A GuardDuty finding about an
// identity correlates with that identity's records.
package cloudtrail

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

const sourceName = "cloudtrail"

// Config of the source.
type Config struct {
	// APIKeys are the values of the header that the EventBridge connection sends.
	// There are two while the key is rotated.
	APIKeys []secret.String
	// HeaderName is the header's name; default X-Api-Key.
	HeaderName string
	// Rules judge the records; nil: nobody does, and every record is informational.
	Rules *detect.Ruleset
}

// Source is AWS, as intake sees it.
type Source struct {
	keys         []secret.String
	header       string
	rules        *detect.Ruleset
	correlations map[string]*detect.Rule // by id
	past         rulesetCache
}

// New makes the source.
func New(c Config) *Source {
	if c.HeaderName == "" {
		c.HeaderName = "X-Api-Key"
	}
	s := &Source{keys: c.APIKeys, header: c.HeaderName, rules: c.Rules, correlations: map[string]*detect.Rule{}}
	if c.Rules != nil {
		for _, r := range c.Rules.Rules() {
			if r.Correlation != nil {
				s.correlations[r.ID] = r
			}
		}
	}
	return s
}

// Name is the last element of the webhook's path.
func (*Source) Name() string { return sourceName }

// Headers is empty: the body says everything.
func (*Source) Headers() []string { return nil }

// errNoKey is our own fault, not the sender's: the edge answers 5xx.
var errNoKey = errors.New("cloudtrail: no API key is configured")

// Verify compares the shared header with every configured key. EventBridge
// signs nothing; the header is all there is. The delivery id is made of the ids
// in the body. Where there are none (an array, a shape that is not known) it is
// empty, and the edge tells deliveries apart by the body.
func (s *Source) Verify(h http.Header, body []byte, _ time.Time) (string, error) {
	genuine, known := secret.EqualAny(s.keys, h.Get(s.header))
	switch {
	case !known:
		return "", errNoKey
	case !genuine:
		return "", incident.Forbidden("%s does not carry the key of this destination", s.header)
	}
	return deliveryID(body), nil
}

// deliveryID joins the ids that tell one delivery from another. A record's
// eventID is unique within the account that received it, so the record that
// comes by EventBridge and in a file is one; a finding has its envelope's id, and
// a bare one what finding.version tells it by.
func deliveryID(body []byte) string {
	type ids struct {
		ID        text `json:"id"`
		UpdatedAt text `json:"updatedAt"`
		EventID   text `json:"eventID"`
		Account   text `json:"recipientAccountId"`
		Service   struct {
			Count text `json:"count"`
		} `json:"service"`
	}
	var v struct {
		ids
		Detail *ids `json:"detail"`
	}
	if decode(body, &v) != nil {
		return ""
	}
	switch {
	case v.Detail != nil && v.Detail.EventID != "": // a record is one, by whichever way and how often it comes
		return joinNonEmpty("/", v.Detail.Account, v.Detail.EventID)
	case v.Detail != nil && v.ID != "":
		return joinNonEmpty("/", v.ID, v.Detail.EventID, v.Detail.ID, v.Detail.UpdatedAt)
	case v.EventID != "":
		return joinNonEmpty("/", v.Account, v.EventID)
	case v.ID != "" && v.UpdatedAt != "":
		return joinNonEmpty("/", v.ID, v.UpdatedAt, v.Service.Count)
	}
	return ""
}

// decode reads JSON and forgives a field of an unexpected type, which stays
// empty; records are re-exported by many tools.
func decode(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	var mismatch *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &mismatch) {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}

// text is what may also come as a number or a boolean.
type text = incident.FlexString

// firstNonEmpty is the first that is not empty.
func firstNonEmpty(ts ...text) string {
	for _, t := range ts {
		if t != "" {
			return string(t)
		}
	}
	return ""
}

// joinNonEmpty joins what is not empty.
func joinNonEmpty(sep string, ts ...text) string {
	var out []string
	for _, t := range ts {
		if t != "" {
			out = append(out, string(t))
		}
	}
	return strings.Join(out, sep)
}

func field(label string, t text) text {
	if t == "" {
		return ""
	}
	return text(label) + ": " + t
}
