// Package generic takes JSON from any system that can post it, and makes alerts
// of it by expressions in the configuration.
//
// The expressions are in expr-lang, as in the routing, over body (the whole
// JSON document), item (one element of Mapping.Each, else the body) and header
// (the kept request headers, by their canonical name):
//
//	title: 'item.labels.alertname + " on " + (item.host ?? "?")'
//
// They are compiled and type-checked when the source is made. One that fails on
// a body – it reads a field of something that is not there – leaves its field
// empty, and the alert says so: no alert is lost to a slip in the mapping.
package generic

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"tocsin/bot/secret"
)

// Config of one source. Exactly one of Tokens and HMAC is given.
type Config struct {
	Name    string          // the last element of its path and the alerts' source; default "generic"
	Tokens  []secret.String // Authorization: Bearer …; two while one is rotated
	HMAC    HMAC
	Headers []string // request headers that the mapping reads
	// DeliveryHeader carries an id that is the same when a delivery is repeated.
	// Without one, a body that comes again within ten minutes is a repetition.
	DeliveryHeader string
	Mapping        Mapping
}

// HMAC is a signature of the raw body: SHA-256, in hex or base64.
type HMAC struct {
	Header  string          // default X-Signature-256
	Prefix  string          // before the signature, such as "sha256="
	Secrets []secret.String // two while one is rotated
}

// Mapping is a set of expressions; all but Title may be left out.
type Mapping struct {
	When     string // a condition; where it is false there is no alert
	Each     string // a list; each element becomes an alert
	Resolved string // a condition; where it is true this is the end of an alert, noted in the incident of its correlation

	Title       string
	Kind        string // default "<name>.alert"
	Level       string // critical, high, medium, low, informational and the usual other words; default medium
	Fingerprint string // copies of one alert share it; default kind and title
	Correlation string // alerts of one incident share it; default the fingerprint
	Detail      string
	URL         string
	EventID     string
	At          string // RFC 3339 or seconds since 1970; default when it was received
	Project     string
	Release     string
	Environment string
	Account     string
	Region      string
	Principal   string
	Address     string
	Rule        string
	Sample      string // a condition; true: a drill
	Tags        map[string]string
}

// Source is one such system, as intake sees it.
type Source struct {
	cfg     Config
	headers []string

	when, each, resolved, sample *vm.Program
	texts                        map[string]*vm.Program // by the name of the field
	tags                         map[string]*vm.Program
}

// env is what an expression sees.
type env struct {
	Body   any               `expr:"body"`
	Item   any               `expr:"item"`
	Header map[string]string `expr:"header"`
}

// maxNodes bounds the size of one expression.
const maxNodes = 500

var goodName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// New makes a source. The error names every fault of its configuration.
func New(c Config) (*Source, error) {
	if c.Name == "" {
		c.Name = "generic"
	}
	if c.HMAC.Header == "" {
		c.HMAC.Header = "X-Signature-256"
	}
	s := &Source{cfg: c, texts: map[string]*vm.Program{}, tags: map[string]*vm.Program{}}
	var faults []error
	fault := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", field, err))
		}
	}
	if !goodName.MatchString(c.Name) {
		fault("name", fmt.Errorf("%q is none: lower-case letters, digits and hyphens, at most 40, a letter first", c.Name))
	}
	if (len(c.Tokens) > 0) == (len(c.HMAC.Secrets) > 0) {
		fault("tokens", errors.New("give either tokens or hmac.secrets"))
	}
	if strings.TrimSpace(c.Mapping.Title) == "" {
		fault("mapping.title", errors.New("is missing; 'body.title', for example"))
	}
	var err error
	for field, to := range map[string]struct {
		code string
		out  **vm.Program
	}{"when": {c.Mapping.When, &s.when}, "resolved": {c.Mapping.Resolved, &s.resolved}, "sample": {c.Mapping.Sample, &s.sample}} {
		*to.out, err = compile(to.code, expr.AsBool())
		fault("mapping."+field, err)
	}
	s.each, err = compile(c.Mapping.Each, expr.AsKind(reflect.Slice))
	fault("mapping.each", err)
	texts := c.Mapping.texts()
	for _, field := range slices.Sorted(maps.Keys(texts)) {
		s.texts[field], err = compileText(texts[field])
		fault("mapping."+field, err)
	}
	for _, tag := range slices.Sorted(maps.Keys(c.Mapping.Tags)) {
		s.tags[tag], err = compileText(c.Mapping.Tags[tag])
		fault("mapping.tags."+tag, err)
	}
	for _, h := range c.Headers {
		h = http.CanonicalHeaderKey(h)
		if h == "Authorization" || h == "Cookie" || h == http.CanonicalHeaderKey(c.HMAC.Header) {
			fault("headers", fmt.Errorf("%s carries a credential and is not kept", h))
		}
		s.headers = append(s.headers, h)
	}
	for field, program := range s.programs() {
		fault(field, s.headersKept(program))
	}
	return s, errors.Join(faults...)
}

// programs gives each expression and where it stands.
func (s *Source) programs() iter.Seq2[string, *vm.Program] {
	return func(yield func(string, *vm.Program) bool) {
		all := map[string]*vm.Program{"when": s.when, "each": s.each, "resolved": s.resolved, "sample": s.sample}
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

// headersKept refuses an expression that reads a header which is not kept: it
// would read nothing for ever, and nobody would know.
func (s *Source) headersKept(program *vm.Program) error {
	v := headersRead{}
	node := program.Node()
	ast.Walk(&node, &v)
	for _, name := range v.names {
		switch canonical := http.CanonicalHeaderKey(name); {
		case !slices.Contains(s.headers, canonical):
			return fmt.Errorf("reads the header %s, which is not kept; list it under headers", name)
		case name != canonical:
			return fmt.Errorf("reads the header %s, which is written header[%q]", name, canonical)
		}
	}
	return nil
}

// headersRead collects the headers that an expression names.
type headersRead struct{ names []string }

// Visit looks at one node.
func (v *headersRead) Visit(node *ast.Node) {
	member, ok := (*node).(*ast.MemberNode)
	if !ok {
		return
	}
	of, isName := member.Node.(*ast.IdentifierNode)
	name, isText := member.Property.(*ast.StringNode)
	if isName && isText && of.Value == "header" {
		v.names = append(v.names, name.Value)
	}
}

// texts lists the expressions whose result is a text.
func (m Mapping) texts() map[string]string {
	return map[string]string{"title": m.Title, "kind": m.Kind, "level": m.Level, "fingerprint": m.Fingerprint,
		"correlation": m.Correlation, "detail": m.Detail, "url": m.URL, "event_id": m.EventID, "at": m.At, "project": m.Project,
		"release": m.Release, "environment": m.Environment, "account": m.Account, "region": m.Region, "principal": m.Principal,
		"address": m.Address, "rule": m.Rule}
}

// compile gives nothing for no expression.
func compile(code string, result expr.Option) (*vm.Program, error) {
	if strings.TrimSpace(code) == "" {
		return nil, nil
	}
	return expr.Compile(code, expr.Env(env{}), expr.MaxNodes(maxNodes), result)
}

// compileText refuses an expression of which it is certain that no text can be
// made; what a field of the body is shows only when one comes.
func compileText(code string) (*vm.Program, error) {
	program, err := compile(code, expr.AsAny())
	if err != nil || program == nil {
		return nil, err
	}
	if t := program.Node().Type(); t != nil {
		switch t.Kind() {
		case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Func:
			return nil, fmt.Errorf("gives a %s, where a text, a number or a truth value is needed", t.Kind())
		}
	}
	return program, nil
}

// Name is the last element of the webhook's path.
func (s *Source) Name() string { return s.cfg.Name }

// Headers names what the mapping reads.
func (s *Source) Headers() []string { return s.headers }
