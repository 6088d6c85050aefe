// Package cloudtrail decodes security events of AWS: CloudTrail records, findings of
// GuardDuty and Security Hub, and CloudWatch alarms. EventBridge sends them to an API
// destination, in its envelope, bare or in an array. The packages sns and trail
// receive them too and decode them with [Source.Decode].
//
// Each signal has an event name, which identifies the event at AWS on every path. It
// consists of the account and eventID of a record, the ID and update of a finding,
// or the time of an alarm's state change. An event that arrives on several paths is
// therefore counted once.
//
// The rules of package detect set the level of a record. Rules that count several
// records produce observations, which accompany the signals. The desk passes them to
// [Source.Advance] in the transaction that marks the records handled.
//
// The fingerprint of a record consists of action, principal, account, target, level
// and result. A second StopLogging of one trail is an occurrence of the first alert.
// A success after a refused attempt is a new alert. The correlation key consists of
// account and principal, without session name and access key. All actions of a stolen
// identity therefore belong to one incident, together with the GuardDuty findings
// about this identity.
package cloudtrail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
	"tocsin/bot/text"
)

const sourceName = "cloudtrail"

// Config configures a [Source].
type Config struct {
	// APIKeys are the accepted values of the header. Use two during a key rotation.
	APIKeys []secret.String `yaml:"api_keys"`
	// Header is the header that the EventBridge connection sends, default
	// X-Api-Key.
	Header string        `yaml:"header"`
	Limits intake.Limits `yaml:"limits"`
	Usual  intake.Usual  `yaml:",inline"`
}

const example = `cloudtrail:                             # POST /hooks/cloudtrail, an EventBridge API destination
  api_keys: ["${EVENTBRIDGE_KEY}"]
  header: X-Api-Key
`

// defaultHeader is the default of Config.Header.
const defaultHeader = "X-Api-Key"

// SetDefaults sets the defaults of a configuration that a file completes.
func (c *Config) SetDefaults() { c.Header = defaultHeader }

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	p.CheckSecrets("api_keys", c.APIKeys)
	if !setting.IsHeaderName(c.Header) {
		p.Add("header", "is not a valid header name. Write one such as X-Api-Key")
	}
	return p
}

// Registration describes the source. It is intake.Deps.Records itself, because other
// sources use it even if it has no keys.
func (c Config) Registration() intake.Registration {
	return intake.Registration{Name: sourceName, On: len(c.APIKeys) > 0, Limits: c.Limits, Usual: c.Usual, Secret: "api_keys", Example: example,
		Alerts: intake.Alerts{Kinds: []string{"cloudtrail.*", "cloudwatch.alarm", "guardduty.*", "securityhub.*"}},
		New:    func(d intake.Deps) (intake.Source, error) { return d.Records, nil },
		Post: intake.Poster{Sign: func(h http.Header, key, _ string, _ []byte) {
			h.Set(cmp.Or(c.Header, defaultHeader), key)
		}}}
}

// Source verifies and decodes events of AWS. It implements intake.Source and is safe
// for concurrent use.
type Source struct {
	keys         []secret.String
	header       string
	rules        *detect.Ruleset
	correlations map[string]*detect.Rule // correlation rules by ID
	past         rulesetCache
}

// New returns a Source that evaluates records with rules. If rules is nil, every
// record is informational.
func New(c Config, rules *detect.Ruleset) *Source {
	s := &Source{keys: c.APIKeys, header: cmp.Or(c.Header, defaultHeader), rules: rules, correlations: map[string]*detect.Rule{}}
	if rules != nil {
		for _, r := range rules.Rules() {
			if r.Correlation != nil {
				s.correlations[r.ID] = r
			}
		}
	}
	return s
}

// Name returns "cloudtrail", the last element of the webhook's path.
func (*Source) Name() string { return sourceName }

// Headers returns nil, because Decode needs only the body.
func (*Source) Headers() []string { return nil }

// errNoKey is not an *incident.Error, because it is not the sender's mistake. The edge
// answers 503.
var errNoKey = errors.New("cloudtrail: no API key is configured")

// Verify compares the header with every configured key, because EventBridge does not
// sign its requests. It returns a delivery ID made of the IDs in the body, or "" if
// the body has none, for example if it is an array.
func (s *Source) Verify(_ context.Context, h http.Header, body []byte, _ time.Time) (string, error) {
	genuine, known := secret.EqualAny(s.keys, h.Get(s.header))
	switch {
	case !known:
		return "", errNoKey
	case !genuine:
		return "", incident.Forbidden("the header %s is missing or has a wrong key. Set a key from sources.cloudtrail.api_keys in the EventBridge connection", s.header)
	}
	return deliveryID(body), nil
}

// VerifyHeader is [intake.HeaderVerifier].
func (s *Source) VerifyHeader(h http.Header) (possible bool, err error) {
	_, err = s.Verify(context.Background(), h, nil, time.Time{})
	return true, err
}

// decode unmarshals JSON. It ignores a field of an unexpected type, because many tools
// export records in slightly different forms.
func decode(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	var mismatch *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &mismatch) {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}

// firstNonEmpty returns the first text that is not empty, or "".
func firstNonEmpty(ts ...text.Flex) string { return string(cmp.Or(ts...)) }
