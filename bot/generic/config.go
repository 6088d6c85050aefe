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
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/expression"
	"tocsin/bot/secret"
)

// Config configures one source. Exactly one of Tokens and HMAC.Secrets must be
// set.
type Config struct {
	Name    string          // last element of the webhook's path and source of its alerts (default "generic")
	Tokens  []secret.String // accepted bearer tokens, two during a rotation
	HMAC    HMAC
	Headers []string // request headers that the mapping reads
	// DeliveryHeader is a request header with an ID that stays equal when the sender
	// retries. Without it, an identical body within ten minutes is a duplicate. With a
	// signature, which does not cover headers, an identical body is also a duplicate if
	// the header differs.
	DeliveryHeader string
	Mapping        Mapping
}

// HMAC configures an HMAC-SHA256 signature of the raw body, in hex or base64.
type HMAC struct {
	Header  string          // default X-Signature-256
	Prefix  string          // precedes the signature, such as "sha256="
	Secrets []secret.String // two during a rotation
}

// Mapping holds the expressions. Only Title is required.
type Mapping struct {
	When     string // a condition: no alert if false
	Each     string // a list: each element becomes an alert
	Resolved string // a condition: if true, the end of the alert is noted in the incident with its correlation key

	Title       string
	Kind        string // default "<name>.alert"
	Level       string // critical, high, medium, low, informational or a common synonym (default medium)
	Fingerprint string // equal for all occurrences of one alert (default: kind and title)
	Correlation string // equal for the alerts of one incident (default: the fingerprint)
	Detail      string
	URL         string
	EventID     string
	At          string // RFC 3339 or seconds since 1970 (default: the time of receipt)
	Project     string
	Release     string
	Environment string
	Account     string
	Region      string
	Principal   string
	Address     string
	Rule        string
	Sample      string // a condition: a sample if true
	Tags        map[string]string
}

// Source verifies and decodes the webhooks of one system. It is safe for
// concurrent use.
type Source struct {
	cfg     Config
	headers []string

	when, each, resolved, sample *expression.Program
	texts                        map[string]*expression.Program // by field name
	tags                         map[string]*expression.Program
}

// env holds the variables of an expression.
type env struct {
	Body   any               `expr:"body"`
	Item   any               `expr:"item"`
	Header map[string]string `expr:"header"`
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// New returns a source. The error joins all problems of the configuration, each
// prefixed with its field.
func New(c Config) (*Source, error) {
	if c.Name == "" {
		c.Name = "generic"
	}
	if c.HMAC.Header == "" {
		c.HMAC.Header = "X-Signature-256"
	}
	s := &Source{cfg: c, texts: map[string]*expression.Program{}, tags: map[string]*expression.Program{}}
	var errs []error
	add := func(field string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
	}
	if !namePattern.MatchString(c.Name) {
		add("name", fmt.Errorf("%q is invalid: use at most 40 characters of a-z, 0-9 and -, starting with a-z", c.Name))
	}
	if (len(c.Tokens) > 0) == (len(c.HMAC.Secrets) > 0) {
		add("tokens", errors.New("set either tokens or hmac.secrets"))
	}
	if strings.TrimSpace(c.Mapping.Title) == "" {
		add("mapping.title", errors.New("is missing: write an expression such as 'body.title'"))
	}
	var err error
	for field, to := range map[string]struct {
		code string
		out  **expression.Program
	}{"when": {c.Mapping.When, &s.when}, "resolved": {c.Mapping.Resolved, &s.resolved}, "sample": {c.Mapping.Sample, &s.sample}} {
		*to.out, err = compile(to.code, expression.Condition)
		add("mapping."+field, err)
	}
	s.each, err = compile(c.Mapping.Each, expression.List)
	add("mapping.each", err)
	texts := c.Mapping.textExpressions()
	for _, field := range slices.Sorted(maps.Keys(texts)) {
		s.texts[field], err = compile(texts[field], expression.Text)
		add("mapping."+field, err)
	}
	for _, tag := range slices.Sorted(maps.Keys(c.Mapping.Tags)) {
		s.tags[tag], err = compile(c.Mapping.Tags[tag], expression.Text)
		add("mapping.tags."+tag, err)
	}
	for _, h := range c.Headers {
		h = http.CanonicalHeaderKey(h)
		if h == "Authorization" || h == "Cookie" || h == http.CanonicalHeaderKey(c.HMAC.Header) {
			add("headers", fmt.Errorf("%s holds a credential and cannot be stored", h))
		}
		s.headers = append(s.headers, h)
	}
	for field, program := range s.programs() {
		add(field, s.checkHeaders(program))
	}
	return s, errors.Join(errs...)
}

// programs yields each expression with its configuration key, sorted by key.
func (s *Source) programs() iter.Seq2[string, *expression.Program] {
	return func(yield func(string, *expression.Program) bool) {
		all := map[string]*expression.Program{"when": s.when, "each": s.each, "resolved": s.resolved, "sample": s.sample}
		maps.Copy(all, s.texts)
		for tag, program := range s.tags {
			all["tags."+tag] = program
		}
		for _, field := range slices.Sorted(maps.Keys(all)) {
			if program := all[field]; program != nil && !yield("mapping."+field, program) {
				return
			}
		}
	}
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

// textExpressions returns the expressions with a text result, by field name.
func (m Mapping) textExpressions() map[string]string {
	return map[string]string{"title": m.Title, "kind": m.Kind, "level": m.Level, "fingerprint": m.Fingerprint,
		"correlation": m.Correlation, "detail": m.Detail, "url": m.URL, "event_id": m.EventID, "at": m.At, "project": m.Project,
		"release": m.Release, "environment": m.Environment, "account": m.Account, "region": m.Region, "principal": m.Principal,
		"address": m.Address, "rule": m.Rule}
}

// compile returns nil if code is empty.
func compile(code string, result expression.Result) (*expression.Program, error) {
	if strings.TrimSpace(code) == "" {
		return nil, nil
	}
	return expression.Compile(code, env{}, result)
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
