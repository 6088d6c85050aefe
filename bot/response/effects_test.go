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

// declaredConstants returns the constants of a type in a source file, which
// includes constants added later.
func declaredConstants(t *testing.T, file, typeName string) []string {
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
		t.Fatalf("%s declares no constant of type %s", file, typeName)
	}
	return out
}

func TestEffectsByEvent_ListsEveryEventKind(t *testing.T) {
	kinds := declaredConstants(t, "../incident/timeline.go", "EventKind")
	for _, kind := range kinds {
		if _, ok := effectsByEvent[incident.EventKind(kind)]; !ok {
			t.Errorf("effectsByEvent has no entry for %q", kind)
		}
	}
	if len(effectsByEvent) != len(kinds) {
		t.Errorf("effectsByEvent has %d kinds of events, want %d", len(effectsByEvent), len(kinds))
	}
}

func TestEffectsByEvent_UsesEveryEffectKind(t *testing.T) {
	used := map[incident.EffectKind]bool{incident.EffectAgenda: true, incident.EffectStormTimer: true, // from a schedule and a storm
		incident.EffectAcknowledgeReport: true, incident.EffectNotice: true, incident.EffectMailNotice: true, incident.EffectAnnounceMaintenance: true, // from a report and a notice
		incident.EffectHandover: true, incident.EffectMailHandover: true} // from a departure
	inc := incident.Incident{ID: 1, Status: incident.Active, Severity: incident.Sev1,
		Paging:        incident.Paging{Round: 1, AcknowledgedBy: "p1", LastAction: startTime},
		Consultations: []incident.Consultation{{Team: "payments"}},
		Runs: []incident.Run{{Playbook: "r", Plan: []incident.Step{
			{ID: "bot", Action: "involve legal"}, {ID: "person", Deadline: time.Hour}}}}}
	inc.Links = map[string]string{incident.LinkChannel: "C1"}
	for kind := range effectsByEvent {
		for _, step := range []string{"bot", "person"} {
			e := incident.Event{Seq: 1, Kind: kind, RecordedAt: startTime, Fields: map[string]string{"round": "1", "escalation_step": "0", "next": "1",
				"person": "p1", "department": "legal", "departments": "legal", "run": "r", "step": step, "until": "2026-11-24T10:00:00Z", "channel": map[string]string{"bot": incident.ChannelNew, "person": incident.ChannelRemove}[step]}}
			for _, effect := range (effectBuilder{inc: inc, event: e, dir: testDirectory(), policy: testPolicy, now: startTime}).effects() {
				used[effect.Kind] = true
				if effect.Key == "" || effect.Incident != 1 || effect.Refresh && effect.Lane != "" {
					t.Errorf("%s: malformed effect %+v", kind, effect)
				}
			}
		}
	}
	for _, kind := range declaredConstants(t, "../incident/effect.go", "EffectKind") {
		if !used[incident.EffectKind(kind)] {
			t.Errorf("no event has the effect %q", kind)
		}
	}
}
