package bot

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"tocsin/bot/detect"
)

// Detection says which rules judge CloudTrail records. Rules are named by their
// id or name.
type Detection struct {
	Rules   []string          `koanf:"rules"` // folders besides the built-in ones
	Disable []string          `koanf:"disable"`
	Enable  []string          `koanf:"enable"`
	Levels  map[string]string `koanf:"levels"`
	// Placeholders are the values of %name% in rules with the modifier expand.
	Placeholders map[string][]string `koanf:"placeholders"`
}

// builtinRules are our own rules as they come: checking a configuration and serving
// it compile them once.
var builtinRules = sync.OnceValues(func() (*detect.Ruleset, detect.LoadResult) { return detect.Load(detect.Options{Builtin: true}) })

// load compiles the rules.
func (d Detection) load() (*detect.Ruleset, detect.LoadResult) {
	if len(d.Rules)+len(d.Disable)+len(d.Enable)+len(d.Levels)+len(d.Placeholders) == 0 {
		return builtinRules()
	}
	levels := map[string]detect.Level{}
	for name, level := range d.Levels {
		levels[name] = detect.Level(level)
	}
	return detect.Load(detect.Options{Builtin: true, Disable: d.Disable, Enable: d.Enable, Levels: levels, Placeholders: d.Placeholders}, d.Rules...)
}

// openDetection compiles the rules and says what is off, and what somebody
// should look at.
func openDetection(d Detection, log *slog.Logger) (*detect.Ruleset, error) {
	rules, report := d.load()
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("detection.rules: %w", err)
	}
	log = log.With("component", "detect")
	for _, w := range report.Warnings {
		log.Warn("a rule needs a look", "rule", w.Rule, "file", w.File, "line", w.Line, "reason", w.Reason)
	}
	log.Info("rules are ready", "rules", report.Usable, "off", len(report.Off), "for_other_logs", len(report.Skipped), "digest", rules.Digest())
	return rules, nil
}

// maxRefused bounds how many documents one fault names.
const maxRefused = 20

func (d Detection) validate(f *ConfigErrors) {
	_, report := d.load()
	if refused := report.Refused; len(refused) > 0 {
		var lines []string
		for _, r := range refused[:min(len(refused), maxRefused)] {
			lines = append(lines, r.Error())
		}
		if n := len(refused) - maxRefused; n > 0 {
			lines = append(lines, fmt.Sprintf("and %d more; `tocsin detect lint` lists them", n))
		}
		f.add("detection.rules", "%s", strings.Join(lines, "\n    "))
	}
	unfit := map[string]string{} // what the configuration names in vain, and why
	for _, w := range report.Warnings {
		if w.File == "configuration" {
			unfit[w.Rule] = w.Reason
		}
	}
	for key, names := range map[string][]string{"detection.disable": d.Disable, "detection.enable": d.Enable} {
		for n, name := range names {
			if why := unfit[name]; why != "" {
				f.add(fmt.Sprintf("%s[%d]", key, n), "%s: %s", name, why)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Levels)) {
		if why := unfit[name]; why != "" {
			f.add("detection.levels."+name, "%s; levels are informational, low, medium, high and critical", why)
		}
	}
}
