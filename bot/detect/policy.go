package detect

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// maxNestedJSON is how deep policies are searched for in JSON texts inside JSON.
const maxNestedJSON = 3

// statement is one statement of a policy.
type statement struct {
	hasEffect    bool
	allows       bool
	denies       bool
	anyone       bool     // the principal is *, or there is a NotPrincipal
	accounts     []string // of principals
	providers    []string // of federated principals
	actions      []string
	resources    []string
	allResources bool // on all resources
	conditions   []condition
}

// condition is one key of a condition block. A request satisfies it with one of
// the values. The operator and the key are in lower case.
type condition struct {
	operator string
	key      string
	values   []string
}

// policies summarises the policies of one request.
//
// It recognises policies by their form, an object with statements that have an
// effect, in any parameter of the request. A policy can be an object or a JSON text,
// also percent-encoded. Names of elements, principals and conditions are read
// case-insensitively, because AWS rejects unknown spellings itself.
type policies struct {
	found, unreadable       bool
	public, narrowed        bool
	denies                  bool
	publicActions           []string
	broadActions, powers    []string
	accounts, openProviders []string
	own                     string // the account
}

// readPolicies returns the derived fields about policies without their prefix, or
// nil if the request has no policy.
func readPolicies(r *Record) map[string]any {
	params, _ := r.member(r.root, "requestParameters")
	if params < 0 {
		return nil
	}
	p := policies{own: r.Field("recipientAccountId")}
	p.scan(r, params, 0)
	if s, ok := addedPermission(r, params); ok {
		p.add(s)
	}
	out := map[string]any{}
	if p.unreadable {
		out["unreadable"] = true
	}
	if p.found {
		out["public"], out["narrowed"], out["denies"] = p.public, p.narrowed, p.denies
	}
	others := slices.DeleteFunc(p.accounts, func(a string) bool { return a == p.own })
	for name, list := range map[string][]string{
		"public_actions": p.publicActions, "broad_actions": p.broadActions, "powers": p.powers, "other_accounts": others, "open_providers": p.openProviders,
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

// scan finds policies in a value.
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

// scanText finds policies in a JSON text. It sets unreadable for a text that looks
// like a policy but cannot be decoded, for example because of a repeated key. The
// meaning of such a policy for AWS is unknown.
func (p *policies) scanText(b []byte, depth int) {
	b = bytes.TrimSpace(b)
	if bytes.HasPrefix(b, []byte("%")) {
		b = percentDecoded(b)
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

// percentDecoded returns a percent-encoded text as it is without the encoding. Some
// encoders write + for a space, so that is tried too if the result is not JSON.
func percentDecoded(b []byte) []byte {
	plain, err := url.PathUnescape(string(b))
	if err != nil {
		return nil
	}
	if spaced, err := url.QueryUnescape(string(b)); err == nil && !json.Valid([]byte(plain)) && json.Valid([]byte(spaced)) {
		plain = spaced
	}
	return bytes.TrimSpace([]byte(plain))
}

// readStatements adds one statement or a list of statements.
func (p *policies) readStatements(r *Record, n int32) {
	if r.nodes[n].kind != kindArray {
		p.add(readStatement(r, n))
		return
	}
	for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
		p.add(readStatement(r, c))
	}
}

// add adds a statement to the summary.
func (p *policies) add(s statement) {
	if !s.hasEffect {
		return // not a policy, because WAF rules also have a key named Statement
	}
	p.found = true
	p.denies = p.denies || s.denies
	if !s.allows {
		return
	}
	p.accounts = append(p.accounts, s.accounts...)
	if s.allResources {
		p.broadActions = append(p.broadActions, s.actions...)
	}
	p.powers = append(p.powers, s.powers(p.own)...)
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
			s.denies = s.denies || strings.EqualFold(string(r.textOf(c)), "Deny")
		case "principal":
			s.readPrincipal(r, c)
		case "notprincipal":
			s.anyone = true
		case "action":
			for _, a := range r.textList(c) {
				s.actions = append(s.actions, collapseStars(a))
			}
		case "notaction":
			s.actions = append(s.actions, "*") // all actions with exceptions
		case "resource":
			s.resources = append(s.resources, r.textList(c)...)
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

// addPrincipal adds one principal. It is *, an account, an ARN in an account, or a
// service, which is ignored.
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

// addProvider adds one identity provider. It ignores SAML providers, because they
// belong to the account.
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

// addedPrincipals are the parameters in which AddPermission of a service names
// principals. AddPermission adds a statement to a policy.
var addedPrincipals = map[string][]string{
	"lambda.amazonaws.com": {"principal"},
	"sns.amazonaws.com":    {"aWSAccountId", "aWSAccountIds"},
	"sqs.amazonaws.com":    {"aWSAccountId", "aWSAccountIds"},
}

// addedPermission returns the statement that AddPermission adds to a policy. ok is
// false if the request has no principal.
func addedPermission(r *Record, params int32) (s statement, ok bool) {
	values := func(name string) []string {
		if c, _ := r.member(params, name); c >= 0 && r.nodes[c].kind != kindNull {
			return r.textList(c)
		}
		return nil
	}
	for _, name := range addedPrincipals[r.EventSource()] {
		for _, principal := range values(name) {
			s.hasEffect, s.allows = true, true
			s.addPrincipal(principal)
		}
	}
	if !s.hasEffect {
		return s, false
	}
	s.actions = slices.Concat(values("action"), values("actions"), values("actionName"), values("actionNames"))
	for _, c := range []struct{ name, operator, key string }{
		{"sourceArn", "arnlike", "aws:sourcearn"}, {"sourceAccount", "stringequals", "aws:sourceaccount"},
		{"principalOrgID", "stringequals", "aws:principalorgid"}, {"organizationId", "stringequals", "aws:principalorgid"},
	} {
		s.conditions = append(s.conditions, condition{c.operator, c.key, values(c.name)})
	}
	return s, true
}

// textList returns the text of a value, or the texts of the elements of a list.
func (r *Record) textList(n int32) (out []string) {
	if r.nodes[n].kind != kindArray {
		return []string{string(r.textOf(n))}
	}
	for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
		out = append(out, string(r.textOf(c)))
	}
	return out
}

// isWildcard reports whether s consists only of wildcards.
func isWildcard(s string) bool { return s != "" && strings.Trim(s, "*?") == "" }

// collapseStars replaces adjacent stars by one.
func collapseStars(s string) string {
	for strings.Contains(s, "**") {
		s = strings.ReplaceAll(s, "**", "*")
	}
	return s
}

// isAnyResource reports whether s is * or an ARN with only wildcards after the
// partition.
func isAnyResource(s string) bool {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) == 6 && parts[0] == "arn" {
		parts = parts[2:]
	}
	return !slices.ContainsFunc(parts, func(p string) bool { return !isWildcard(p) })
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }
