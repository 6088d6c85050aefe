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

// Detection configures the rules that evaluate CloudTrail records. Disable,
// Enable and Levels refer to rules by id or name.
type Detection struct {
	Rules   []string          `koanf:"rules"` // folders, in addition to the built-in rules
	Disable []string          `koanf:"disable"`
	Enable  []string          `koanf:"enable"`
	Levels  map[string]string `koanf:"levels"`
	// Placeholders are the values of %name% in rules with the modifier expand.
	Placeholders map[string][]string `koanf:"placeholders"`
}

// builtinRules compiles the built-in rules once per process, because validation
// and startup both need them.
var builtinRules = sync.OnceValues(func() (*detect.Ruleset, detect.LoadResult) { return detect.Load(detect.Options{Builtin: true}) })

// load compiles the built-in rules and the configured folders.
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

// openDetection compiles the rules and logs their warnings and counts.
func openDetection(d Detection, log *slog.Logger) (*detect.Ruleset, error) {
	rules, report := d.load()
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("detection.rules: %w", err)
	}
	log = log.With("component", "detect")
	for _, w := range report.Warnings {
		log.Warn("detection rule warning", "rule", w.Rule, "file", w.File, "line", w.Line, "reason", w.Reason)
	}
	log.Info("detection rules loaded", "rules", report.Usable, "off", len(report.Off), "for_other_logs", len(report.Skipped), "digest", rules.Digest())
	return rules, nil
}

// maxListedRules is the maximum number of documents in one error.
const maxListedRules = 20

func (d Detection) validate(f *ConfigErrors) {
	_, report := d.load()
	if refused := report.Refused; len(refused) > 0 {
		var lines []string
		for _, r := range refused[:min(len(refused), maxListedRules)] {
			lines = append(lines, r.Error())
		}
		if n := len(refused) - maxListedRules; n > 0 {
			lines = append(lines, fmt.Sprintf("and %d more. Run `tocsin detect lint` to list them", n))
		}
		f.add("detection.rules", "%s", strings.Join(lines, "\n    "))
	}
	reasons := map[string]string{} // why a configured name has no effect, by name
	for _, w := range report.Warnings {
		if w.File == "configuration" {
			reasons[w.Rule] = w.Reason
		}
	}
	for key, names := range map[string][]string{"detection.disable": d.Disable, "detection.enable": d.Enable} {
		for n, name := range names {
			if why := reasons[name]; why != "" {
				f.add(fmt.Sprintf("%s[%d]", key, n), "%s: %s", name, why)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Levels)) {
		if why := reasons[name]; why != "" {
			f.add("detection.levels."+name, "%s. Levels are informational, low, medium, high and critical", why)
		}
	}
}
