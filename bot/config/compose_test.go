package config

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestComposeFile_VariablesExist compares the variables in docker-compose.yml
// with the keys of the configuration and the variables in the example.
func TestComposeFile_VariablesExist(t *testing.T) {
	raw, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Environment map[string]*string
		}
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	for name, value := range file.Services["tocsin"].Environment {
		key, overrides := strings.CutPrefix(name, envPrefix)
		key = strings.ToLower(strings.ReplaceAll(key, "__", "."))
		switch {
		case overrides && !slices.Contains(singleValueKeys(), key):
			t.Errorf("%s: got unknown key %s", name, key)
		case overrides && value == nil:
			t.Errorf("%s: got no value, want one", name)
		case !overrides && !strings.Contains(Example, "${"+name+"}"):
			t.Errorf("%s: no key of the example uses the variable", name)
		}
		set[key] = overrides
	}
	for _, key := range []string{"listen", "database", "keyset_file", "control_socket"} {
		if !set[key] {
			t.Errorf("%s is not set, so the container would use a path of the host", key)
		}
	}
}
