package bot

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestTheComposeFileNamesWhatThereIs holds the variables of docker-compose.yml
// against the keys of the configuration and the variables of its example.
func TestTheComposeFileNamesWhatThereIs(t *testing.T) {
	raw, err := os.ReadFile("../docker-compose.yml")
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
		case overrides && !slices.Contains(knownKeys(), key):
			t.Errorf("%s: the configuration has no key %s", name, key)
		case overrides && value == nil:
			t.Errorf("%s: has no value", name)
		case !overrides && !strings.Contains(Example, "${"+name+"}"):
			t.Errorf("%s: no key of the example reads it", name)
		}
		set[key] = overrides
	}
	for _, key := range []string{"listen", "database", "keyset_file", "control_socket"} {
		if !set[key] {
			t.Errorf("%s is left to a file that was written for a process on the host", key)
		}
	}
}
