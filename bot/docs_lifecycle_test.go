package bot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// TestDocs_Lifecycle compares the diagram with the lifecycle table.
func TestDocs_Lifecycle(t *testing.T) {
	diagram := lifecycleDiagram()
	openPage(t, "docs/architecture.md").generated("lifecycle", "```mermaid\n"+strings.TrimSpace(diagram)+"\n```\n")
	for _, s := range incident.Statuses() {
		if !strings.Contains(diagram, " "+string(s)) {
			t.Errorf("the diagram does not contain %s", s)
		}
	}
}

// lifecycleDiagram returns the transitions of the lifecycle as a mermaid state diagram.
func lifecycleDiagram() string {
	type edge struct{ from, to incident.Status }
	verbs := map[edge][]string{}
	var order []edge
	add := func(from, to incident.Status, v incident.Verb) {
		e := edge{from, to}
		if verbs[e] == nil {
			order = append(order, e)
		}
		if w := strings.ReplaceAll(string(v), "_", " "); !slices.Contains(verbs[e], w) {
			verbs[e] = append(verbs[e], w)
		}
	}
	for _, t := range incident.Transitions {
		from := t.From
		if len(from) == 0 {
			from = []incident.Status{""}
		}
		for _, f := range from {
			for _, to := range t.To {
				if to != "" && to != f {
					add(f, to, t.Verb)
				}
			}
		}
	}
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for _, e := range order {
		from := string(e.from)
		if from == "" {
			from = "[*]"
		}
		fmt.Fprintf(&b, "    %s --> %s: %s\n", from, e.to, strings.Join(verbs[e], ", "))
	}
	for _, s := range incident.Statuses() {
		if s.Ended() {
			fmt.Fprintf(&b, "    %s --> [*]\n", s)
		}
	}
	return b.String()
}
