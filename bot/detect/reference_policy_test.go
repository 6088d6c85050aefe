package detect_test

// This file evaluates policies for the reference with regular expressions.

import (
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"sort"
	"strings"
)

// refField returns the values of a field, including derived fields.
func refField(event any, path string) []any {
	if strings.HasPrefix(path, "tocsin.") {
		event = refDerived(event)
	}
	return refAt(event, path)
}

type refPolicies struct {
	found, unreadable, public, narrowed  bool
	denies                               bool
	publicActions, broad, accounts, open map[string]bool
	powers                               map[string]bool
	own                                  string
}

func refDerived(event any) any {
	p := refPolicies{publicActions: map[string]bool{}, broad: map[string]bool{}, accounts: map[string]bool{}, open: map[string]bool{}, powers: map[string]bool{}, own: refFirst(event, "recipientAccountId")}
	for _, params := range refAt(event, "requestParameters") {
		p.scan(params, 0)
		var principals, actions []any
		for source, name := range map[string]string{"lambda.amazonaws.com": "principal", "sns.amazonaws.com": "aWSAccountIds", "sqs.amazonaws.com": "aWSAccountIds"} {
			if refFirst(event, "eventSource") == source {
				principals = append(principals, refAt(params, name)...)
			}
		}
		if len(principals) > 0 && principals[0] != nil {
			equals := refObject{}
			for _, from := range [][2]string{{"sourceAccount", "aws:SourceAccount"}, {"principalOrgID", "aws:PrincipalOrgID"}, {"organizationId", "aws:PrincipalOrgID"}, {"sourceArn", "aws:SourceArn"}} {
				if v := refFirst(params, from[0]); v != "" {
					equals = append(equals, refMember{from[1], v})
				}
			}
			s := refObject{{"Effect", "Allow"}, {"Principal", principals[0]}, {"Condition", refObject{{"ArnLike", equals}}}}
			for _, name := range []string{"action", "actions", "actionNames"} {
				actions = append(actions, refAt(params, name)...)
			}
			if len(actions) > 0 {
				s = append(s, refMember{"Action", actions[0]})
			}
			p.addStatement(s)
		}
	}
	delete(p.accounts, refFirst(event, "recipientAccountId"))
	o := refObject{}
	list := func(name string, set map[string]bool) {
		var out []any
		var texts []string
		for s := range set {
			texts = append(texts, s)
		}
		sort.Strings(texts)
		for _, s := range texts {
			out = append(out, s)
		}
		if out != nil {
			o = append(o, refMember{name, out})
		}
	}
	list("broad_actions", p.broad)
	if p.found {
		o = append(o, refMember{"denies", p.denies})
		o = append(o, refMember{"narrowed", p.narrowed})
	}
	list("open_providers", p.open)
	list("other_accounts", p.accounts)
	list("powers", p.powers)
	if p.found {
		o = append(o, refMember{"public", p.public})
	}
	list("public_actions", p.publicActions)
	if p.unreadable {
		o = append(o, refMember{"unreadable", true})
	}
	derived := refObject{}
	if len(o) > 0 {
		derived = append(derived, refMember{"policy", o})
	}
	if n := refNetworks(event); len(n) > 0 {
		derived = append(derived, refMember{"network", n})
	}
	return refObject{{"tocsin", derived}}
}

func refFirst(v any, path string) string {
	for _, found := range refAt(v, path) {
		if found != nil {
			return refText(found)
		}
	}
	return ""
}

func (p *refPolicies) scan(v any, depth int) {
	switch v := v.(type) {
	case string:
		text := strings.TrimSpace(v)
		if plain, err := url.PathUnescape(text); err == nil && strings.HasPrefix(text, "%") {
			if spaced, err := url.QueryUnescape(text); err == nil && !json.Valid([]byte(plain)) && json.Valid([]byte(spaced)) {
				plain = spaced
			}
			text = strings.TrimSpace(plain)
		}
		switch {
		case depth > 2 || !strings.HasPrefix(text, "{"):
		case !refValid(text):
			p.unreadable = p.unreadable || refRegexp(`(?i)"statement"`).MatchString(text) && refRegexp(`(?i)"effect"`).MatchString(text)
		default:
			p.scan(refDecode([]byte(text)), depth+1)
		}
	case []any:
		for _, e := range v {
			p.scan(e, depth)
		}
	case refObject:
		for _, m := range v {
			if strings.EqualFold(m.key, "Statement") {
				for _, s := range refList(m.value) {
					p.addStatement(s)
				}
			}
			p.scan(m.value, depth)
		}
	}
}

// refValid reports whether a text is JSON without repeated keys.
func refValid(text string) bool {
	return json.Valid([]byte(text)) && !refRepeats(refDecode([]byte(text)))
}

func refRepeats(v any) bool {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if refRepeats(e) {
				return true
			}
		}
	case refObject:
		seen := map[string]bool{}
		for _, m := range v {
			if seen[m.key] || refRepeats(m.value) {
				return true
			}
			seen[m.key] = true
		}
	}
	return false
}

func refList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func (p *refPolicies) addStatement(statement any) {
	s := map[string]any{}
	o, _ := statement.(refObject)
	for _, m := range o {
		s[strings.ToLower(m.key)] = m.value
	}
	effect, ok := s["effect"]
	if !ok {
		return
	}
	p.found = true
	p.denies = p.denies || strings.EqualFold(refText(effect), "deny")
	if !strings.EqualFold(refText(effect), "allow") {
		return
	}
	_, everybody := s["notprincipal"]
	var providers []string
	principals, ok := s["principal"].(refObject)
	if who, given := s["principal"]; given && !ok {
		principals = refObject{{"AWS", who}}
	}
	for _, kind := range principals {
		for _, who := range refList(kind.value) {
			name := refText(who)
			account := refRegexp(`^(?:[^:]*:){4}([^:]*):.*$`).ReplaceAllString(strings.ReplaceAll(name, "\n", " "), "$1")
			switch {
			case strings.EqualFold(kind.key, "federated"):
				if !strings.Contains(name, ":saml-provider/") {
					providers = append(providers, strings.ToLower(refRegexp(`^.*?:oidc-provider/`).ReplaceAllString(name, "")))
				}
			case refRegexp(`\*|^\?+$`).MatchString(account):
				everybody = true
			case refRegexp(`^\d{12}$`).MatchString(account):
				p.accounts[account] = true
			}
		}
	}
	actions := map[string]bool{}
	if _, ok := s["notaction"]; ok {
		actions["*"] = true
	}
	if v, ok := s["action"]; ok {
		for _, a := range refList(v) {
			actions[refRegexp(`\*+`).ReplaceAllString(refText(a), "*")] = true
		}
	}
	_, everything := s["notresource"]
	if v, ok := s["resource"]; ok {
		for _, r := range refList(v) {
			everything = everything || refRegexp(`^(?:arn:[^:]*:[*?]+:[*?]+:[*?]+:[*?:]+|[*?]+(?::[*?]+)*)$`).MatchString(refText(r))
		}
	}
	p.addPowers(s, actions, everything)
	narrow, bound := false, map[string]bool{}
	conditions, _ := s["condition"].(refObject)
	for _, op := range conditions {
		keys, _ := op.value.(refObject)
		for _, key := range keys {
			if !refRegexp(`(?i)^(?:foranyvalue:)?(?:stringequals|stringequalsignorecase|stringlike|arnequals|arnlike|ipaddress)$`).MatchString(op.key) || len(refList(key.value)) == 0 {
				continue
			}
			narrow = narrow || refRestrictsAccess(strings.ToLower(op.key), strings.ToLower(key.key), refList(key.value))
			for _, provider := range providers {
				bound[provider] = bound[provider] || refRestrictsProvider(provider, strings.ToLower(key.key), refList(key.value))
			}
		}
	}
	public := everybody && !narrow
	for _, provider := range providers {
		if !narrow && !bound[provider] {
			p.open[provider] = true
			public = public || refRegexp(`^[*?]+$`).MatchString(provider)
		}
	}
	p.public, p.narrowed = p.public || public, p.narrowed || everybody && narrow
	for a := range actions {
		if public {
			p.publicActions[a] = true
		}
		if everything {
			p.broad[a] = true
		}
	}
}

// refPowers are the actions that gain permissions, by the kind of their resource.
var refPowers = map[string]string{
	"role":   "iam:AttachRolePolicy iam:DeleteRolePermissionsBoundary iam:PassRole iam:PutRolePermissionsBoundary iam:PutRolePolicy iam:UpdateAssumeRolePolicy sts:AssumeRole",
	"user":   "iam:AttachUserPolicy iam:CreateAccessKey iam:CreateLoginProfile iam:DeleteUserPermissionsBoundary iam:PutUserPermissionsBoundary iam:PutUserPolicy iam:UpdateLoginProfile",
	"group":  "iam:AddUserToGroup iam:AttachGroupPolicy iam:PutGroupPolicy",
	"policy": "iam:CreatePolicyVersion iam:SetDefaultPolicyVersion",
}

func (p *refPolicies) addPowers(s map[string]any, actions map[string]bool, everything bool) {
	matches := func(patterns []string, text string) bool {
		for _, pattern := range patterns {
			re := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(strings.ToLower(pattern)))
			if refRegexp("(?s)^" + re + "$").MatchString(strings.ToLower(text)) {
				return true
			}
		}
		return false
	}
	var allowed, resources []string
	for a := range actions {
		allowed = append(allowed, a)
	}
	if v, ok := s["resource"]; ok {
		for _, r := range refList(v) {
			resources = append(resources, refText(r))
		}
	}
	if everything && matches(allowed, "zq0:Zq0") && matches(allowed, "qx9:Qx9") {
		p.powers["*"] = true
		return
	}
	kinds := 0
	found := map[string]bool{}
	for kind, names := range refPowers {
		over := everything
		for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
			arn := "arn:" + partition + ":iam::" + p.own + ":" + kind + "/"
			over = over || matches(resources, arn+"zq0") && matches(resources, arn+"Qx/9")
		}
		if !over {
			continue
		}
		kinds++
		for _, name := range strings.Fields(names) {
			if matches(allowed, name) {
				found[name] = true
			}
		}
	}
	if kinds == 4 && matches(allowed, "iam:Zq0") && matches(allowed, "iam:Qx9") {
		found = map[string]bool{"iam:*": true}
	}
	for name := range found {
		p.powers[name] = true
	}
}

func refRestrictsAccess(op, key string, values []any) bool {
	shape := ""
	switch key {
	case "aws:principalorgid", "aws:principalorgpaths", "aws:sourceorgid", "aws:sourceorgpaths", "aws:vpceorgid", "aws:vpceorgpaths":
		shape = `^o-[^/*?$]+(?:/.*)?$|^(?i)\$\{aws:resourceorgid\}$`
	case "aws:principalaccount", "aws:sourceaccount", "aws:sourceowner", "aws:vpceaccount", "kms:calleraccount", "s3:dataaccesspointaccount":
		shape = `^\d{12}$|^(?i)\$\{aws:resourceaccount\}$`
	case "aws:principalarn", "aws:sourcearn", "aws:sourcevpcarn", "s3:dataaccesspointarn":
		shape = `^arn:[^:*?]*:[^:*?]*:[^:*?]*:\d{12}:|^arn:[^:*?]*:s3:::[^*?$]+$`
		if strings.Contains(op, "arn") {
			shape = `^arn:[^:]*:[^:]*:[^:]*:\d{12}:|^arn:[^:]*:s3:::[^*?$]+$`
		}
	case "aws:sourcevpc", "aws:sourcevpce":
		shape = `^vpce?-[^*?$]+$`
	case "aws:userid":
		shape = `^(?:\d{12}|A[^:*?$]{15,})(?::|$)`
	case "aws:sourceip":
		return refIsNarrow(values)
	default:
		return false
	}
	for _, v := range values {
		if !refRegexp(shape).MatchString(refText(v)) {
			return false
		}
	}
	return true
}

func refIsNarrow(values []any) bool {
	var nets []*net.IPNet
	for _, v := range values {
		n := refNetwork(refText(v))
		if n == nil {
			return false
		}
		nets = append(nets, n)
	}
	return !refIsWide(nets)
}

func refRestrictsProvider(provider, key string, values []any) bool {
	m := refRegexp(`^(.*):([^:]*)$`).FindStringSubmatch(key)
	if m == nil || m[1] != provider && !refRegexp(`^[*?]+$`).MatchString(provider) {
		return false
	}
	shape := `^[^*?$]+$|^[^:*?$]*:[^:/*?$]+[:/]`
	switch {
	case refRegexp(`^(?:sub|repository|repository_id|repository_owner|repository_owner_id|job_workflow_ref)$`).MatchString(m[2]):
	case refRegexp(`^(?:aud|oaud|app_id)$`).MatchString(m[2]) && refRegexp(`^(?:cognito-identity\.amazonaws|accounts\.google|www\.amazon|graph\.facebook)\.com$`).MatchString(m[1]):
		shape = `^[^*?$]+$`
	default:
		return false
	}
	for _, v := range values {
		if !refRegexp(shape).MatchString(refText(v)) {
			return false
		}
	}
	return true
}
