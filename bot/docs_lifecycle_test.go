package bot

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/command"
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

// TestDocs_Statuses compares the table of statuses with the lifecycle. Verbs
// that are typed alike, such as those of step, have one row.
func TestDocs_Statuses(t *testing.T) {
	allowed := map[string][]incident.Status{}
	for _, s := range incident.Statuses() {
		for _, v := range incident.AllowedVerbs(s) {
			name := v.CommandName()
			if v == incident.VerbRestrict {
				name = restrictName
			}
			allowed[name] = append(allowed[name], s)
		}
	}
	var b strings.Builder
	b.WriteString("| Command |")
	for _, s := range incident.Statuses() {
		b.WriteString(" " + strings.ReplaceAll(string(s), "_", " ") + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat(":-:|", len(incident.Statuses())) + "\n")
	for _, name := range slices.Sorted(maps.Keys(allowed)) {
		b.WriteString("| `" + name + "` |")
		for _, s := range incident.Statuses() {
			mark := "  |"
			if slices.Contains(allowed[name], s) {
				mark = " ✓ |"
			}
			b.WriteString(mark)
		}
		b.WriteString("\n")
	}
	openPage(t, "docs/commands.md").generated("statuses", b.String())
}

// restrictName is the name of a verb that two commands give with a different
// argument.
const restrictName = "restrict` or `public"

// TestDocs_Authority compares the table of who may give which command with the
// lifecycle.
func TestDocs_Authority(t *testing.T) {
	var b strings.Builder
	b.WriteString("| Command | Who may give it |\n|---|---|\n")
	verbs := map[string]map[incident.Verb]bool{} // by command
	for _, line := range incident.Transitions {
		name := line.Verb.CommandName()
		if verbs[name] == nil {
			verbs[name] = map[incident.Verb]bool{}
		}
		verbs[name][line.Verb] = true
	}
	seen := map[string]bool{}
	for _, line := range incident.Transitions {
		name, who := line.Verb.CommandName(), line.Who&^incident.TheBot
		if who == 0 {
			continue
		}
		switch {
		case line.Verb == incident.VerbRestrict:
			name = restrictName
		case len(verbs[name]) > 1:
			name = command.Typed(line.Verb)[0]
		}
		words := regexp.MustCompile(` \(.*\)`).ReplaceAllString(strings.Join(who.Words(), ", "), "")
		if row := fmt.Sprintf("| `%s` | %s |\n", name, words); !seen[row] {
			seen[row] = true
			b.WriteString(row)
		}
	}
	openPage(t, "docs/security.md").generated("authority", b.String())
}

// incidentLine is an example of a typed command, for example "/incident ack".
