package chat

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tocsin/bot/incident"
	"tocsin/playbooks"
)

func TestSplitInstructions(t *testing.T) {
	full := strings.Repeat("word ", 21) + "end"
	tests := []struct {
		name, text string
		want       []Passage
	}{
		{"a sentence", "Disable, do not delete.", []Passage{{"Disable, do not delete.", false}}},
		{"commands preserve their layout", "In that account:\n  aws iam list --all\n    --more   # a remark\nThen go on.",
			[]Passage{{"In that account:", false}, {"aws iam list --all\n  --more   # a remark", true}, {"Then go on.", false}}},
		{"a full line continues", full + "\nof it.\nThis is a new one.", []Passage{{full + " of it.\nThis is a new one.", false}}},
		{"a full item continues", "- " + full + "\n  of it.\n- next", []Passage{{"- " + full + " of it.\n- next", false}}},
		{"a command under a full item", "- " + full + ":\n  aws ec2", []Passage{{"- " + full + ":", false}, {"aws ec2", true}}},
		{"a wrapped command", "  aws '" + full + "\n    more'", []Passage{{"aws '" + full + "\n  more'", true}}},
		{"paragraphs", "One.\n\nTwo.\n  run\n\n  run again\n\nThree.", []Passage{{"One.\n\nTwo.", false}, {"run\n\nrun again", true}, {"Three.", false}}},
		{"blank", " \n\n", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, splitInstructions(test.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSplitInstructions_PreservesWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"word", " ", "  ", "\n", "\n  ", "- ", "1. ", ":", strings.Repeat("long ", 30)})).Draw(t, "text"), "")
		var got []string
		for _, p := range splitInstructions(text) {
			got = append(got, strings.Fields(p.Text)...)
		}
		if diff := cmp.Diff(strings.Fields(text), got); diff != "" && len(got)+len(strings.Fields(text)) > 0 {
			t.Fatal(diff)
		}
	})
}

// TestInstructions_CommandsStaySeparate fills the placeholders of the built-in playbooks with
// long values. Each command and list item still begins its own line.
func TestInstructions_CommandsStaySeparate(t *testing.T) {
	library, err := playbooks.Load()
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for _, name := range incident.Placeholders() {
		tags[name] = strings.Repeat("x", 60)
	}
	for _, name := range library.Names() {
		run, _ := library.Pin(name)
		for _, step := range run.Fill(42, incident.Alert{Tags: tags}).Plan {
			shown := map[string]bool{}
			for _, p := range splitInstructions(step.Detail) {
				for _, line := range strings.Split(p.Text, "\n") {
					shown[strings.TrimSpace(line)] = true
				}
			}
			for _, line := range strings.Split(step.Detail, "\n") {
				line = strings.TrimSpace(line)
				if strings.HasPrefix(line, "aws ") && !shown[line] {
					t.Errorf("%s/%s: got no line of its own for %s", name, step.ID, line)
				}
			}
		}
	}
}
