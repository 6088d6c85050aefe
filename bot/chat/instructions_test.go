package chat

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
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
