package main

import (
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"
)

// TestYAMLText_ReadsBack writes any text into a flow map and a list, and reads it back.
func TestYAMLText_ReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"yes", "NULL", "1e5", "12:30", "0x1f", "a: b", "a #b", "x:", "[a]", "&a", "Esra Yıldız", "-", ".inf"})).Draw(t, "text")
		var got struct {
			Map  map[string]string `yaml:"map"`
			List []string          `yaml:"list"`
		}
		if err := yaml.Unmarshal([]byte("map: {a: "+yamlText(text)+", b: x}\nlist: "+yamlList([]string{text, text})+"   # comment\n"), &got); err != nil {
			t.Fatalf("%q: got %v, want valid YAML", text, err)
		}
		if got.Map["a"] != text || got.Map["b"] != "x" || len(got.List) != 2 || got.List[1] != text {
			t.Errorf("got %+v, want %q in each place", got, text)
		}
	})
}

func TestUnitText_Quotes(t *testing.T) {
	for in, want := range map[string]string{"/etc/tocsin": "/etc/tocsin", "/srv/100%": "/srv/100%%", "/srv/my folder": `"/srv/my folder"`, `/a"b$c`: `"/a\"b$$c"`} {
		if got := unitText(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
