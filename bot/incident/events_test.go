package incident

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// inspectFile visits the syntax of a source file.
func inspectFile(t *testing.T, name string, visit func(ast.Node) bool) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, visit)
}

// inspectEvents visits the syntax of every file that describes kinds of events.
func inspectEvents(t *testing.T, visit func(ast.Node) bool) {
	t.Helper()
	files, err := filepath.Glob("events_*.go")
	if err != nil || len(files) < 5 {
		t.Fatalf("got files %v, %v, want every topic of events", files, err)
	}
	for _, name := range files {
		inspectFile(t, name, visit)
	}
}

// constantsOf returns a visitor that adds the values of constants of a type to out.
func constantsOf(t *testing.T, typeName string, out *[]string) func(ast.Node) bool {
	return func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == typeName {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			*out = append(*out, value)
		}
		return true
	}
}

func TestEventSpecs_DescribeEveryKindOnce(t *testing.T) {
	var declared []string
	inspectEvents(t, constantsOf(t, "EventKind", &declared))
	for _, kind := range declared {
		if _, known := eventSpecs[EventKind(kind)]; !known {
			t.Errorf("%s has no description", kind)
		}
	}
	described := 0
	for _, topic := range eventTopics {
		described += len(topic)
	}
	if len(declared) < 50 || len(eventSpecs) != len(declared) || described != len(declared) {
		t.Errorf("got %d kinds, %d descriptions in topics, %d in all", len(declared), described, len(eventSpecs))
	}
}

func TestEventSpecs_AreComplete(t *testing.T) {
	for kind, spec := range eventSpecs {
		if spec.sentence == nil {
			t.Errorf("%s has no sentence", kind)
		}
		if !slices.Contains(Lanes(), spec.lane) {
			t.Errorf("%s has lane %q, want one of %v", kind, spec.lane, Lanes())
		}
		if names := strings.Fields(spec.fields); !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("%s has fields %v, want them sorted and once", kind, names)
		}
	}
}

// commonFields are the fields that any event may have.
var commonFields = map[string]bool{"status": true, "zone": true, "through": true, "second_factor": true, "proof": true, "local": true, "local_first": true, "act_digest": true}

// checkFields reports the fields of an event that the description of its kind leaves
// out, although they are not redacted.
func checkFields(t tester, e Event) {
	t.Helper()
	for name := range e.Fields {
		if IsPlainField(name) && !commonFields[name] && !slices.Contains(strings.Fields(eventSpecs[e.Kind].fields), name) {
			t.Fatalf("the description of %s lacks the field %s", e.Kind, name)
		}
	}
}

func TestEventEffects_UseEveryEffectKind(t *testing.T) {
	used := map[EffectKind]bool{EffectAgenda: true, // from a schedule
		EffectAcknowledgeReport: true, EffectNotice: true, EffectMailNotice: true, EffectAnnounceMaintenance: true, // from a report and a notice
		EffectRetract: true, EffectHandover: true, EffectMailHandover: true, // from a departure
		EffectRemindActions: true, EffectMailRemindActions: true} // from a schedule
	w := newFixture(t)
	inc := Incident{ID: 1, Status: Active, Severity: Sev1, Links: map[string]string{LinkChannel: "C1"},
		Paging:        Paging{Round: 1, AcknowledgedBy: "eng1", LastAction: start},
		Consultations: []Consultation{{Team: "payments"}},
		Runs:          []Run{{Playbook: "r", Plan: []Step{{ID: "bot", Action: "involve legal"}, {ID: "person", Deadline: time.Hour}}}}}
	for _, kind := range EventKinds() {
		for step, channel := range map[string]string{"bot": ChannelNew, "person": ChannelRemove} {
			e := Event{Seq: 1, Kind: kind, RecordedAt: start, Fields: map[string]string{"round": "1", "escalation_step": "0", "next": "1",
				"person": "eng1", "department": "legal", "departments": "legal", "run": "r", "step": step, "until": "2026-11-24T10:00:00Z", "channel": channel, "cancel": "eng1"}}
			for _, effect := range e.Effects(inc, Incident{}, Env{Now: start, Directory: w.dir, Policy: w.policy}) {
				used[effect.Kind] = true
				if effect.Key == "" || effect.Incident != 1 || effect.Refresh && effect.Lane != "" {
					t.Errorf("%s: malformed effect %+v", kind, effect)
				}
			}
		}
	}
	var declared []string
	inspectFile(t, "effect.go", constantsOf(t, "EffectKind", &declared))
	for _, kind := range declared {
		if !used[EffectKind(kind)] {
			t.Errorf("no event has the effect %q", kind)
		}
	}
}
