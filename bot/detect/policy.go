package detect

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
)

// What policies in a request allow, and whom. They are found by their form, an
// object with statements that have an effect, wherever the service that is called
// puts them: as JSON, or as a text with JSON in it, perhaps percent-encoded.
// Names of elements are read without regard to case, as of principals and
// conditions: a spelling that AWS would refuse does no harm here.

// maxNestedJSON is how often JSON may stand in a text in JSON.
const maxNestedJSON = 3

// statement is one statement of a policy.
type statement struct {
	hasEffect    bool
	allows       bool
	anyone       bool     // the principal is *, or everybody but some
	accounts     []string // of principals
	providers    []string // of federated principals
	actions      []string
	allResources bool // on all resources
	conditions   []condition
}

// condition is one key of a condition block: one of the values must fit.
type condition struct {
	operator string
	key      string
	values   []string
}

// policies sums up the policies of one request.
type policies struct {
	found, unreadable       bool
	public, narrowed        bool
	publicActions           []string
	broadActions            []string
	accounts, openProviders []string
}

// readPolicies gives the derived fields about policies, nil where a request has none.
func readPolicies(r *Record) map[string]any {
	params, _ := r.member(r.root, "requestParameters")
	if params < 0 {
		return nil
	}
	var p policies
	p.scan(r, params, 0)
	if s, ok := functionPermission(r, params); ok {
		p.add(s)
	}
	out := map[string]any{}
	if p.unreadable {
		out["unreadable"] = true
	}
	if p.found {
		out["public"], out["narrowed"] = p.public, p.narrowed
	}
	own := r.Field("recipientAccountId")
	others := slices.DeleteFunc(p.accounts, func(a string) bool { return a == own })
	for name, list := range map[string][]string{
		"public_actions": p.publicActions, "broad_actions": p.broadActions, "other_accounts": others, "open_providers": p.openProviders,
	} {
		if len(list) > 0 {
			slices.Sort(list)
			out[name] = slices.Compact(list)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// scan looks for policies in a value.
func (p *policies) scan(r *Record, from int32, depth int) {
	for n := from; n < r.nodes[from].next; n++ {
		switch nd := &r.nodes[n]; nd.kind {
		case kindString:
			if depth < maxNestedJSON {
				p.scanText(r.stringOf(nd), depth)
			}
		case kindObject:
			for c := n + 1; c < nd.next; c = r.nodes[c].next {
				if strings.EqualFold(string(r.keyOf(&r.nodes[c])), "Statement") {
					p.readStatements(r, c)
				}
			}
		}
	}
}

// scanText looks for policies in a text that is JSON. One that was meant to be a
// policy and cannot be read, for a repeated key say, is told: how AWS read it is
// unknown.
func (p *policies) scanText(b []byte, depth int) {
	b = bytes.TrimSpace(b)
	if bytes.HasPrefix(b, []byte("%")) {
		plain, err := url.PathUnescape(string(b))
		if err != nil {
			return
		}
		b = bytes.TrimSpace([]byte(plain))
	}
	if !bytes.HasPrefix(b, []byte("{")) {
		return
	}
	inner, err := DecodeRecord(b)
	if err != nil {
		low := bytes.ToLower(b)
		p.unreadable = p.unreadable || bytes.Contains(low, []byte(`"statement"`)) && bytes.Contains(low, []byte(`"effect"`))
		return
	}
	p.scan(inner, inner.root, depth+1)
}

// readStatements reads one statement or a list of them.
func (p *policies) readStatements(r *Record, n int32) {
	if r.nodes[n].kind != kindArray {
		p.add(readStatement(r, n))
		return
	}
	for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
		p.add(readStatement(r, c))
	}
}

// add takes a statement into account.
func (p *policies) add(s statement) {
	if !s.hasEffect {
		return // what has no effect is no statement: a rule of WAF has some of its own kind
	}
	p.found = true
	if !s.allows {
		return
	}
	p.accounts = append(p.accounts, s.accounts...)
	if s.allResources {
		p.broadActions = append(p.broadActions, s.actions...)
	}
	narrow := slices.ContainsFunc(s.conditions, condition.restrictsAccess)
	public := s.anyone && !narrow
	for _, provider := range s.providers {
		if !narrow && !slices.ContainsFunc(s.conditions, func(c condition) bool { return c.restrictsProvider(provider) }) {
			p.openProviders = append(p.openProviders, provider)
			public = public || isWildcard(provider)
		}
	}
	p.narrowed = p.narrowed || s.anyone && narrow
	if public {
		p.public = true
		p.publicActions = append(p.publicActions, s.actions...)
	}
}

func readStatement(r *Record, n int32) (s statement) {
	if r.nodes[n].kind != kindObject {
		return s
	}
	for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
		switch strings.ToLower(string(r.keyOf(&r.nodes[c]))) {
		case "effect":
			s.hasEffect = true
			s.allows = s.allows || strings.EqualFold(string(r.textOf(c)), "Allow")
		case "principal":
			s.readPrincipal(r, c)
		case "notprincipal":
			s.anyone = true
		case "action":
			for _, a := range r.textList(c) {
				s.actions = append(s.actions, collapseStars(a))
			}
		case "notaction":
			s.actions = append(s.actions, "*") // everything but some
		case "resource":
			s.allResources = s.allResources || slices.ContainsFunc(r.textList(c), isAnyResource)
		case "notresource":
			s.allResources = true
		case "condition":
			s.conditions = append(s.conditions, readConditions(r, c)...)
		}
	}
	return s
}

func (s *statement) readPrincipal(r *Record, n int32) {
	if r.nodes[n].kind != kindObject {
		for _, name := range r.textList(n) {
			s.addPrincipal(name)
		}
		return
	}
	for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
		federated := strings.EqualFold(string(r.keyOf(&r.nodes[c])), "Federated")
		for _, name := range r.textList(c) {
			if federated {
				s.addProvider(name)
			} else {
				s.addPrincipal(name)
			}
		}
	}
}

// addPrincipal takes one principal: everybody, an account, what belongs to one, a service.
func (s *statement) addPrincipal(principal string) {
	account := principal
	if arn := strings.SplitN(principal, ":", 6); len(arn) == 6 {
		account = arn[4]
	}
	switch {
	case isWildcard(account) || strings.Contains(account, "*"):
		s.anyone = true
	case isAccount(account):
		s.accounts = append(s.accounts, account)
	}
}

// addProvider takes one identity provider. One of SAML belongs to the account.
func (s *statement) addProvider(principal string) {
	if strings.Contains(principal, ":saml-provider/") {
		return
	}
	if _, host, ok := strings.Cut(principal, ":oidc-provider/"); ok {
		principal = host
	}
	s.providers = append(s.providers, strings.ToLower(collapseStars(principal)))
}

func readConditions(r *Record, n int32) (out []condition) {
	if r.nodes[n].kind != kindObject {
		return nil
	}
	for op := n + 1; op < r.nodes[n].next; op = r.nodes[op].next {
		if r.nodes[op].kind != kindObject {
			continue
		}
		for key := op + 1; key < r.nodes[op].next; key = r.nodes[key].next {
			out = append(out, condition{
				strings.ToLower(string(r.keyOf(&r.nodes[op]))), strings.ToLower(string(r.keyOf(&r.nodes[key]))), r.textList(key),
			})
		}
	}
	return out
}

// functionPermission reads what AddPermission of Lambda writes into a policy.
func functionPermission(r *Record, params int32) (s statement, ok bool) {
	if r.EventSource() != "lambda.amazonaws.com" {
		return s, false
	}
	values := func(name string) []string {
		if c, _ := r.member(params, name); c >= 0 && r.nodes[c].kind != kindNull {
			return r.textList(c)
		}
		return nil
	}
	for _, principal := range values("principal") {
		s.hasEffect, s.allows = true, true
		s.addPrincipal(principal)
	}
	s.actions = values("action")
	for _, c := range []struct{ name, operator, key string }{
		{"sourceArn", "arnlike", "aws:sourcearn"}, {"sourceAccount", "stringequals", "aws:sourceaccount"},
		{"principalOrgID", "stringequals", "aws:principalorgid"}, {"organizationId", "stringequals", "aws:principalorgid"},
	} {
		s.conditions = append(s.conditions, condition{c.operator, c.key, values(c.name)})
	}
	return s, s.hasEffect
}

// textList are a value, or the elements of a list, as text.
func (r *Record) textList(n int32) (out []string) {
	if r.nodes[n].kind != kindArray {
		return []string{string(r.textOf(n))}
	}
	for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
		out = append(out, string(r.textOf(c)))
	}
	return out
}

// isWildcard: nothing but wildcards.
func isWildcard(s string) bool { return s != "" && strings.Trim(s, "*?") == "" }

// collapseStars writes several stars in a row as one.
func collapseStars(s string) string {
	for strings.Contains(s, "**") {
		s = strings.ReplaceAll(s, "**", "*")
	}
	return s
}

// isAnyResource: * or an ARN that leaves everything after the partition open.
func isAnyResource(s string) bool {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" {
		parts = parts[2:]
	}
	return !slices.ContainsFunc(parts, func(p string) bool { return !isWildcard(p) })
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }
