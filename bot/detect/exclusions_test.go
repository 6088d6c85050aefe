package detect

import (
	"slices"
	"testing"
)

// chosenByCaller are fields that callers can set to any text. The session name is part
// of userIdentity.arn.
var chosenByCaller = []string{"userAgent", "sourceIPAddress", "userIdentity.arn", "userIdentity.principalId", "vpcEndpointId"}

// A built-in rule must not exclude records by a field that a caller chooses, or
// attackers would exclude themselves.
func TestBuiltinRules_CallersCannotExcludeThemselves(t *testing.T) {
	// This rule counts addresses from outside AWS.
	exempt := []string{"instance-credentials-used"}
	rs, _ := Load(Options{Builtin: true, All: true})
	negations := 0
	for _, r := range rs.Rules() {
		if r.expr == nil {
			continue
		}
		for _, it := range excludedBy(r.expr, false) {
			negations++
			if slices.Contains(chosenByCaller, it.path) && !slices.Contains(exempt, r.Name) {
				t.Errorf("%s: got an exclusion by %s (line %d), which callers choose", r.Name, it.label, it.line)
			}
		}
	}
	if negations < 20 {
		t.Errorf("got %d exclusions, want at least 20", negations)
	}
	for _, condition := range []string{"s and not t", "not t and s", "s and not (s or t)", "not (not s or t)"} {
		src := "title: x\nid: x\nlogsource: {product: aws, service: cloudtrail}\ndetection: {s: {eventName: E}, t: {userAgent: x}, condition: " + condition + "}\n"
		rs, _ := LoadText(Options{}, []byte(src))
		found := excludedBy(rs.Rules()[0].expr, false)
		if !slices.ContainsFunc(found, func(it *item) bool { return it.path == "userAgent" }) {
			t.Errorf("%s: got no exclusion by the user agent, want one", condition)
		}
	}
}

// excludedBy returns the items that make an expression false if they match.
func excludedBy(e expr, negated bool) (out []*item) {
	switch e := e.(type) {
	case andExpr:
		for _, x := range e {
			out = append(out, excludedBy(x, negated)...)
		}
	case orExpr:
		for _, x := range e {
			out = append(out, excludedBy(x, negated)...)
		}
	case notExpr:
		return excludedBy(e.x, !negated)
	case *item:
		if negated != (e.negated && e.op != opNull) {
			out = append(out, e)
		}
	}
	return out
}
