package response

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// declared reads the constants of a type out of a file of the domain, so that
// one that is added tomorrow is found.
func declared(t *testing.T, file, typeName string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range parsed.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			if name, ok := v.Type.(*ast.Ident); !ok || name.Name != typeName {
				continue
			}
			value, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, value)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s declares no %s", file, typeName)
	}
	return out
}

func TestEveryEventKindIsInTheList(t *testing.T) {
	kinds := declared(t, "../incident/timeline.go", "EventKind")
	for _, kind := range kinds {
		if _, ok := effectsByEvent[incident.EventKind(kind)]; !ok {
			t.Errorf("effects.go does not say what %q calls for", kind)
		}
	}
	if len(effectsByEvent) != len(kinds) {
		t.Errorf("effects.go lists %d kinds of events, the domain has %d", len(effectsByEvent), len(kinds))
	}
}

func TestEveryEffectKindIsCalledFor(t *testing.T) {
	called := map[incident.EffectKind]bool{incident.EffectAgenda: true, incident.EffectStormTimer: true, // by a schedule, and by a storm,
		incident.EffectAcknowledge: true, incident.EffectNotice: true, incident.EffectMailNotice: true} // by a report, and about the house
	inc := incident.Incident{ID: 1, Status: incident.Active, Severity: incident.Sev1,
		Paging:        incident.Paging{Round: 1, AcknowledgedBy: "p1", LastAction: at},
		Consultations: []incident.Consultation{{Team: "payments"}},
		Runs: []incident.Run{{Playbook: "r", Plan: []incident.Step{
			{ID: "bot", Action: "involve legal"}, {ID: "person", Deadline: time.Hour}}}}}
	for kind := range effectsByEvent {
		for _, step := range []string{"bot", "person"} {
			e := incident.Event{Seq: 1, Kind: kind, RecordedAt: at, Fields: map[string]string{"round": "1", "escalation_step": "0", "next": "1",
				"person": "p1", "department": "legal", "departments": "legal", "run": "r", "step": step}}
			for _, effect := range (effectBuilder{inc: inc, event: e, dir: people(), policy: policy, now: at}).effects() {
				called[effect.Kind] = true
				if effect.Key == "" || effect.Incident != 1 || effect.Refresh && effect.Lane != "" {
					t.Errorf("%s calls for a malformed effect: %+v", kind, effect)
				}
			}
		}
	}
	for _, kind := range declared(t, "../incident/effect.go", "EffectKind") {
		if !called[incident.EffectKind(kind)] {
			t.Errorf("no event calls for %q", kind)
		}
	}
}
