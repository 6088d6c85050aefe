package response

import (
	"strings"
	"testing"

	"tocsin/bot/incident"
)

func TestNewRouting_RejectsInvalidRules(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		want string
	}{
		"no action":         {Rule{When: "true"}, "give exactly one of"},
		"two actions":       {Rule{When: "true", Watch: true, Open: "sev1"}, "give exactly one of"},
		"no condition":      {Rule{Watch: true}, "when is missing"},
		"unknown name":      {Rule{When: `sauce == "sentry"`, Watch: true}, "unknown name sauce"},
		"not bool":          {Rule{When: `source`, Watch: true}, "expected bool"},
		"syntax":            {Rule{When: `source ==`, Watch: true}, "when:"},
		"wrong severity":    {Rule{When: "true", Open: "sev9"}, "sev1 (most severe)"},
		"unknown playbook":  {Rule{When: "true", Open: "sev1", Playbook: "leak"}, `unknown playbook "leak". Known playbooks: data-exposure`},
		"playbook in watch": {Rule{When: "true", Watch: true, Playbook: "data-exposure"}, "requires open or attach"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewRouting([]Rule{{When: "true", Drop: "noise"}, c.rule}, []string{"data-exposure"})
			if err == nil || !strings.Contains(err.Error(), "routing[1]") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want routing[1] and %q", err, c.want)
			}
		})
	}
	_, err := NewRouting([]Rule{{When: "true"}, {Watch: true}}, nil)
	if err == nil || !strings.Contains(err.Error(), "routing[0]") || !strings.Contains(err.Error(), "routing[1]") {
		t.Errorf("got %v, want an error for each rule", err)
	}
}

func TestRoute_FirstMatchDecides(t *testing.T) {
	r := mustRouting(t,
		Rule{When: `sample`, Drop: "a drill"},
		Rule{When: `int(tags["users"]) > 100`, Open: "SEV-1"},
		Rule{When: `source == "cloudtrail" && level in ["high", "critical"]`, Open: "sev2"},
		Rule{When: `title contains "login" || region startsWith "eu-"`, Attach: true},
	)
	users := map[string]string{"users": "5"}
	for name, c := range map[string]struct {
		alert incident.Alert
		want  Rule
	}{
		"a drill":                {incident.Alert{Sample: true, Source: "cloudtrail", Level: "high"}, Rule{Drop: "a drill"}},
		"by a tag":               {incident.Alert{Tags: map[string]string{"users": "500"}}, Rule{Open: "sev1"}},
		"a tag without a number": {incident.Alert{Tags: map[string]string{"users": "many"}, Title: "login failed"}, Rule{Open: "sev1"}},
		"by level":               {incident.Alert{Source: "cloudtrail", Level: incident.LevelHigh, Tags: users}, Rule{Open: "sev2"}},
		"by region":              {incident.Alert{Region: "eu-west-1", Tags: users}, Rule{Attach: true}},
		"no match":               {incident.Alert{Source: "cloudtrail", Level: "low", Tags: users}, Rule{Watch: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got := r.route(c.alert).rule
			if got.When = ""; got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func mustRouting(t testingT, rules ...Rule) *Routing {
	t.Helper()
	r, err := NewRouting(rules, []string{"data-exposure", "leaked-aws-credentials"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
