// Package generic decodes JSON webhooks of any system into alerts with expressions
// from the configuration.
//
// The expressions use expr-lang, like the routing rules. They can read body (the
// whole JSON document), item (one element of Mapping.Each, otherwise the body) and
// header (the stored request headers, by canonical name):
//
//	title: 'item.labels.alertname + " on " + (item.host ?? "?")'
//
// [New] compiles and type-checks them. An expression that fails on a body, for
// example because it reads a field of a missing object, leaves its field empty.
// The alert is still raised and its detail contains the error: a mistake in the
// mapping never loses an alert. All expressions on one delivery share a budget. If
// it is used up, one alert stands for the items that are left.
package generic

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/expression"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
)

// Config configures one source. Exactly one of Tokens and HMAC.Secrets must be
// set.
type Config struct {
	Name    string          `yaml:"name"`   // last element of the webhook's path and source of its alerts (default "generic")
	Tokens  []secret.String `yaml:"tokens"` // accepted bearer tokens, two during a rotation
	HMAC    HMAC            `yaml:"hmac"`
	Headers []string        `yaml:"headers"` // request headers that the mapping reads
	// DeliveryHeader is a request header with an ID that stays equal when the sender
	// retries. Without it, an identical body within ten minutes is a duplicate. With a
	// signature, which does not cover headers, an identical body is also a duplicate if
	// the header differs.
	DeliveryHeader string        `yaml:"delivery_header"`
	Mapping        Mapping       `yaml:"mapping"`
	Tags           Tags          `yaml:"tags"`
	Limits         intake.Limits `yaml:"limits"`
	Usual          intake.Usual  `yaml:",inline"`
}

const example = `generic:                                # POST /hooks/NAME, JSON mapped with expressions (expr-lang.org) over body, item, header
  - name: scanner
    tokens: ["${SCANNER_TOKEN}"]
    headers: [X-Event]                  # headers to store, for use in the mapping
    delivery_header: X-Delivery         # header with the delivery id
    mapping:                            # fields: when each resolved title kind level fingerprint correlation detail url
      each: body.findings               # event_id at project release environment account region principal address rule sample
      title: item.title
      level: item.severity
      fingerprint: item.id
    tags: {tool: body.tool}
  - name: siem
    hmac: {header: X-Signature-256, prefix: "sha256=", secrets: ["${SIEM_SECRET}"]} # instead of tokens
    mapping: {title: body.name}
`

// HMAC configures an HMAC-SHA256 signature of the raw body, in hex or base64.
type HMAC struct {
	Header  string          `yaml:"header"`  // default X-Signature-256
	Prefix  string          `yaml:"prefix"`  // precedes the signature, such as "sha256="
	Secrets []secret.String `yaml:"secrets"` // two during a rotation
}

const defaultHMACHeader = "X-Signature-256"

// Tags holds the expressions of the tags, by tag.
type Tags map[string]string

// Mapping holds the expressions, by field. Only title is required.
//
//	when         a condition: no alert if false
//	each         a list: each element becomes an alert
//	resolved     a condition: if true, the end of the alert is noted in the incident with its correlation key
//	title
//	kind         default "<name>.alert"
//	level        critical, high, medium, low, informational or a common synonym (default medium)
//	fingerprint  equal for all occurrences of one alert (default: kind and title)
//	correlation  equal for the alerts of one incident (default: the fingerprint)
//	at           RFC 3339, or seconds to nanoseconds since 1970 (default: the time of receipt)
//	sample       a condition: a sample if true
//
// The other fields are texts of the alert with this name: detail, url, event_id,
// project, release, environment, account, region, principal, address and rule.
type Mapping map[string]string

// results holds the result of the expression of each field.
var results = map[string]expression.Result{"when": expression.Condition, "resolved": expression.Condition, "sample": expression.Condition, "each": expression.List,
	"title": expression.Text, "kind": expression.Text, "level": expression.Text, "fingerprint": expression.Text, "correlation": expression.Text,
	"detail": expression.Text, "url": expression.Text, "event_id": expression.Text, "at": expression.Text, "project": expression.Text,
	"release": expression.Text, "environment": expression.Text, "account": expression.Text, "region": expression.Text, "principal": expression.Text,
	"address": expression.Text, "rule": expression.Text}

// Source verifies and decodes the webhooks of one system. It is safe for
// concurrent use.
type Source struct {
	cfg      Config
	headers  []string
	programs map[string]*expression.Program // by field
	tags     map[string]*expression.Program
}

// env holds the variables of an expression.
type env struct {
	Body   any               `expr:"body"`
	Item   any               `expr:"item"`
	Header map[string]string `expr:"header"`
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// Validate returns the problems of the configuration. It compiles the expressions.
func (c Config) Validate() setting.Problems {
	_, p := c.compile()
	p.CheckSecrets("tokens", c.Tokens)
	p.CheckSecrets("hmac.secrets", c.HMAC.Secrets)
	check := func(key, name string) {
		if name != "" && !setting.IsHeaderName(name) {
			p.Add(key, "%q is not a valid header name. Use letters, digits and hyphens", name)
		}
	}
	check("hmac.header", c.HMAC.Header)
	check("delivery_header", c.DeliveryHeader)
	for n, name := range c.Headers {
		check(setting.Index("headers", n), name)
	}
	return p
}

// secretKey returns the key of the credential.
func (c Config) secretKey() string {
	if len(c.HMAC.Secrets) > 0 {
		return "hmac.secrets"
	}
	return "tokens"
}

// Registration describes the source.
func (c Config) Registration() intake.Registration {
	return intake.Registration{Name: c.name(), On: true, Limits: c.Limits, Usual: c.Usual, Secret: c.secretKey(), Example: example,
		New:  func(intake.Deps) (intake.Source, error) { return New(c) },
		Post: intake.Poster{Sign: c.sign, KeepsID: c.DeliveryHeader != "" && len(c.HMAC.Secrets) == 0}}
}

func (c Config) name() string { return cmp.Or(c.Name, "generic") }

// sign adds the token or the signature, and the delivery id.
func (c Config) sign(h http.Header, key, id string, body []byte) {
	if len(c.HMAC.Secrets) > 0 {
		h.Set(cmp.Or(c.HMAC.Header, defaultHMACHeader), c.HMAC.Prefix+hex.EncodeToString(secret.New(key).Sign(body)))
	} else {
		h.Set("Authorization", "Bearer "+key)
	}
	if c.DeliveryHeader != "" && id != "" {
		h.Set(c.DeliveryHeader, id)
	}
}

// New returns a source. The error joins all problems of the configuration, each
// prefixed with its key.
func New(c Config) (*Source, error) {
	s, p := c.compile()
	return s, p.Err()
}

// compile creates the source as far as the configuration is valid.
func (c Config) compile() (*Source, setting.Problems) {
	c.Name, c.HMAC.Header = c.name(), cmp.Or(c.HMAC.Header, defaultHMACHeader)
	s := &Source{cfg: c, programs: map[string]*expression.Program{}, tags: map[string]*expression.Program{}}
	var p setting.Problems
	if !namePattern.MatchString(c.Name) {
		p.Add("name", "%q is invalid: use at most 40 characters of a-z, 0-9 and -, starting with a-z", c.Name)
	}
	if (len(c.Tokens) > 0) == (len(c.HMAC.Secrets) > 0) {
		p.Add("tokens", "set either tokens or hmac.secrets")
	}
	for n, name := range c.Headers {
		name = http.CanonicalHeaderKey(name)
		if name == "Authorization" || name == "Cookie" || name == http.CanonicalHeaderKey(c.HMAC.Header) {
			p.Add(setting.Index("headers", n), "%s holds a credential and cannot be stored", name)
		}
		s.headers = append(s.headers, name)
	}
	if strings.TrimSpace(c.Mapping["title"]) == "" {
		p.Add("mapping.title", "is missing: write an expression such as 'body.title'")
	}
	for _, field := range slices.Sorted(maps.Keys(c.Mapping)) {
		if result, known := results[field]; known {
			s.programs[field] = s.program(setting.Join("mapping", field), c.Mapping[field], result, &p)
			continue
		}
		known := slices.Sorted(maps.Keys(results))
		if near := incident.Nearest(field, known); near != "" {
			p.Add(setting.Join("mapping", field), "unknown field. Did you mean %s?", near)
		} else {
			p.Add(setting.Join("mapping", field), "unknown field. Use one of %s", strings.Join(known, ", "))
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(c.Tags)) {
		s.tags[tag] = s.program(setting.Join("tags", tag), c.Tags[tag], expression.Text, &p)
	}
	return s, p
}

// program compiles an expression. It returns nil if code is empty or invalid.
func (s *Source) program(key, code string, result expression.Result, p *setting.Problems) *expression.Program {
	if strings.TrimSpace(code) == "" {
		return nil
	}
	program, err := expression.Compile(code, env{}, result)
	if err == nil {
		err = s.checkHeaders(program)
	}
	if err != nil {
		p.Add(key, "%v", err)
		return nil
	}
	return program
}

// checkHeaders returns an error if the expression reads a header that is not
// stored. At run time that header would always be empty, without any error.
func (s *Source) checkHeaders(program *expression.Program) error {
	for _, read := range program.Reads() {
		if read.Name != "header" || !read.Keyed {
			continue
		}
		switch canonical := http.CanonicalHeaderKey(read.Key); {
		case !slices.Contains(s.headers, canonical):
			return fmt.Errorf("reads header %s, which is not stored: add it to headers", read.Key)
		case read.Key != canonical:
			return fmt.Errorf("reads header %s: write header[%q]", read.Key, canonical)
		}
	}
	return nil
}

// Name returns the last element of the webhook's path.
func (s *Source) Name() string { return s.cfg.Name }

// Headers returns the names of the request headers to store: those of the mapping and
// Config.DeliveryHeader.
func (s *Source) Headers() []string {
	name := http.CanonicalHeaderKey(s.cfg.DeliveryHeader)
	if name == "" || slices.Contains(s.headers, name) {
		return s.headers
	}
	return append(slices.Clone(s.headers), name)
}
