package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"tocsin/bot/setting"
)

// Config selects the rules. Disable, Enable and Levels refer to rules by id or
// name.
type Config struct {
	Rules   []string         `yaml:"rules"` // folders, in addition to the built-in rules
	Disable []string         `yaml:"disable"`
	Enable  []string         `yaml:"enable"`
	Levels  map[string]Level `yaml:"levels"`
	// Placeholders are the values of %name% in rules with the modifier expand.
	Placeholders map[string][]string `yaml:"placeholders"`
}

// builtinRules compiles the built-in rules once per process, because validation
// and startup both need them.
var builtinRules = sync.OnceValues(func() (*Ruleset, LoadResult) { return Load(Options{Builtin: true}) })

// Load compiles the built-in rules and the configured folders.
func (c Config) Load() (*Ruleset, LoadResult) {
	if len(c.Rules)+len(c.Disable)+len(c.Enable)+len(c.Levels)+len(c.Placeholders) == 0 {
		return builtinRules()
	}
	return Load(Options{Builtin: true, Disable: c.Disable, Enable: c.Enable, Levels: c.Levels, Placeholders: c.Placeholders}, c.Rules...)
}

// maxListedRules is the maximum number of documents in one problem.
const maxListedRules = 20

// Validate returns the problems of the configuration. It compiles the rules.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	_, report := c.Load()
	if refused := report.Refused; len(refused) > 0 {
		var lines []string
		for _, r := range refused[:min(len(refused), maxListedRules)] {
			lines = append(lines, r.Error())
		}
		if n := len(refused) - maxListedRules; n > 0 {
			lines = append(lines, fmt.Sprintf("and %d more. Run `tocsin detect lint` to list them", n))
		}
		p.Add("rules", "%s", strings.Join(lines, "\n    "))
	}
	reasons := map[string]string{} // why a configured name has no effect, by name
	for _, w := range report.Warnings {
		if w.File == "configuration" {
			reasons[w.Rule] = w.Reason
		}
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"disable", c.Disable}, {"enable", c.Enable}} {
		for n, name := range list.names {
			if why := reasons[name]; why != "" {
				p.Add(setting.Index(list.key, n), "%s: %s", name, why)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Levels)) {
		if why := reasons[name]; why != "" {
			p.Add(setting.Join("levels", name), "%s. Levels are informational, low, medium, high and critical", why)
		}
	}
	return p
}
