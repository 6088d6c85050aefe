package response

import (
	"strings"
	"testing"
)

func TestUnknownSources(t *testing.T) {
	for when, want := range map[string]string{
		`source == "a"`: "", `source == "x"`: "x", `"x" != source and level == "low"`: "x", `source in ["a", "x", "y"] || source == "x"`: "x y", `!(source in ["b"])`: "",
		`level == "x"`: "", `tags["source"] == "x"`: "", `source == level`: "", `title in ["x"]`: "", `"x" in source`: "", `source ==`: "", `any([1], source == "z")`: "z",
	} {
		if got := strings.Join(UnknownSources(when, []string{"a", "b"}), " "); got != want {
			t.Errorf("%s: got %q, want %q", when, got, want)
		}
	}
}
