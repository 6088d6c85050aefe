package detect

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options control how [Load] selects and compiles rules.
type Options struct {
	// Placeholders are the values of %name% for the modifier expand, by name.
	Placeholders map[string][]string
	// Disable switches rules off, and Enable switches rules on that are off by
	// default. Both list ids or names, and Disable takes precedence.
	Disable, Enable []string
	// Levels replaces the levels of rules, by id or name.
	Levels map[string]Level
	// All switches on all rules that are off by default.
	All bool
	// Builtin adds the built-in rules.
	Builtin bool
	// Lateness sets [Correlation.Lateness]. Zero means [DefaultLateness].
	Lateness time.Duration
}

// LoadResult reports how the documents were used.
type LoadResult struct {
	Files    int         `json:"files"`
	Usable   int         `json:"usable"` // rules that are on
	Off      []RuleError `json:"off"`    // rules that are off, and why
	Refused  []RuleError `json:"refused"`
	Skipped  []RuleError `json:"skipped"`  // not an error: rules for other logs, other YAML
	Warnings []RuleError `json:"warnings"` // usable, but probably a mistake
}

// Err returns the refused documents as one error, or nil if there are none.
func (r LoadResult) Err() error {
	var errs []error
	for _, f := range r.Refused {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

//go:embed rules
var builtin embed.FS

// offByDefault holds the SigmaHQ rules that match routine work, by id, and why.
// They would page for it, so they are off until enabled. Enable them together
// with a filter for the routine work of the site.
var offByDefault = map[string]string{
	"905d389b-b853-46d0-9d3d-dea0d3a3cd49": "it matches every session of every role. Use it for hunting",
	"8ad1600d-e9dc-4251-b0ee-a65268f29add": "it also matches services that act for root. The built-in rule root-used excludes them",
	"f305fd62-beca-47da-ad95-7690a0620084": "consoles and inventory tools list buckets all the time",
	"c803b2ce-c4a2-4836-beae-b112010390b1": "infrastructure as code changes routes all the time",
	"6fb77778-040f-4015-9440-572aa9b6b580": "infrastructure as code changes security groups all the time. The built-in rule security-group-opened matches only groups opened to any address",
	"77caf516-34e5-4df9-b4db-20744fea0a60": "AWS records MFAUsed No for sign-ins through an identity provider. The built-in rule console-login-without-mfa excludes them",
}

// Load compiles the rules in the paths. A path is a file or a folder. In folders,
// Load reads all .yml and .yaml files, except in hidden folders and in folders
// named fixtures. It skips documents that it cannot use and lists them in the
// result.
func Load(o Options, paths ...string) (*Ruleset, LoadResult) {
	return newLoader(o).load(paths)
}

func newLoader(o Options) *loader {
	none := []RuleError{}
	return &loader{options: o, result: LoadResult{Off: none, Refused: none, Skipped: none, Warnings: none}, compiler: compiler{o.Placeholders}, known: map[string]*Rule{}, titled: map[fileTitle][]*Rule{}}
}

func (l *loader) load(paths []string) (*Ruleset, LoadResult) {
	if l.options.Builtin {
		l.loadFolder(builtin, "rules", "builtin")
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			l.addRefused(RuleError{File: p, Reason: "does not exist. Create the folder with `mkdir -p`, or remove it from the list"})
		case err != nil:
			l.addRefused(RuleError{File: p, Reason: err.Error()})
		case info.IsDir():
			l.loadFolder(os.DirFS(p), ".", p)
		default:
			b, err := os.ReadFile(p)
			l.loadFile(p, b, err)
		}
	}
	return l.link()
}

type loader struct {
	options      Options
	compiler     compiler
	result       LoadResult
	files        []file // without files that have only skipped documents
	rules        []*Rule
	correlations []*document
	filters      []*document
	exempt       []*Rule          // disabled rules with errors
	known        map[string]*Rule // by id and by name
	titled       map[fileTitle][]*Rule
}

func (l *loader) loadFolder(fsys fs.FS, root, shown string) {
	err := fs.WalkDir(fsys, root, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			l.addRefused(RuleError{File: filepath.Join(shown, p), Reason: err.Error()})
			return nil
		case e.IsDir() && p != root && (strings.HasPrefix(e.Name(), ".") || e.Name() == "fixtures"):
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		if ext := strings.ToLower(path.Ext(p)); ext == ".yml" || ext == ".yaml" {
			b, err := fs.ReadFile(fsys, p)
			l.loadFile(path.Join(filepath.ToSlash(shown), strings.TrimPrefix(p, root+"/")), b, err)
		}
		return nil
	})
	if err != nil {
		l.addRefused(RuleError{File: shown, Reason: err.Error()})
	}
}

func (l *loader) addRefused(r RuleError) { l.result.Refused = append(l.result.Refused, r) }

// refuse records every error of a document. Errors of a disabled rule do not
// count as refused. A folder of third-party rules stays usable if its only broken
// rule is disabled.
func (l *loader) refuse(d *document, err error) {
	for _, err := range unjoin(err) {
		r := d.ruleError(err)
		if d.rule != nil && d.rule.listedIn(l.options.Disable) {
			l.exempt = append(l.exempt, d.rule)
			r.Reason = "disabled by the configuration, and not usable: " + r.Reason
			l.result.Off = append(l.result.Off, r)
			continue
		}
		l.addRefused(r)
	}
}

// loadFile loads the documents of one file. err is the error of reading it.
func (l *loader) loadFile(name string, src []byte, err error) {
	l.result.Files++
	if err != nil {
		l.addRefused(RuleError{File: name, Reason: err.Error()})
		return
	}
	values, err := parseYAML(src)
	if err != nil {
		r := RuleError{File: name, Reason: err.Error()}
		if f := new(parseError); errors.As(err, &f) {
			r.Line = f.line
		}
		l.addRefused(r)
		return
	}
	skipped := len(l.result.Skipped)
	for i, v := range values {
		l.loadDocument(&document{file: name, nth: i, value: v})
	}
	if len(l.result.Skipped) < skipped+len(values) {
		l.files = append(l.files, file{name, string(src)})
	}
}

// loadDocument compiles a rule immediately. It collects correlations and filters
// until all rules are loaded, because they refer to rules.
func (l *loader) loadDocument(d *document) {
	v := d.value
	skip := func(why string) {
		l.result.Skipped = append(l.result.Skipped, RuleError{File: d.file, Line: v.line, Rule: v.str("id"), Reason: why})
	}
	if v.str("action") != "" {
		l.refuse(d, parseErrorf(v.line, "action: %s is obsolete, write complete documents instead", v.str("action")))
		return
	}
	detection, correlation, filter := v.get("detection"), v.get("correlation"), v.get("filter")
	if detection == nil && correlation == nil && filter == nil {
		if v.get("logsource") == nil {
			skip("not a Sigma document: it has no detection, correlation or filter")
			return
		}
		_, _ = readMetadata(d) // only to name the rule in the error
		l.refuse(d, parseErrorf(v.line, "the detection is missing"))
		return
	}
	if v.get("logsource") != nil {
		if cloudtrail, name := v.logsource(); !cloudtrail && name != "" {
			skip("rule for another log: " + name)
			return
		}
	}
	rule, err := readMetadata(d)
	if err == nil && correlation != nil {
		err = checkCorrelationFields(correlation)
	}
	switch {
	case err != nil:
		l.refuse(d, err)
	case correlation != nil:
		l.correlations = append(l.correlations, d)
	case filter != nil:
		l.filters = append(l.filters, d)
	default:
		l.loadRule(d, rule, detection)
	}
}

func (l *loader) loadRule(d *document, rule *Rule, detection *value) {
	if cloudtrail, _ := d.value.logsource(); !cloudtrail {
		l.refuse(d, parseErrorf(d.value.line, "the logsource is missing (product: aws, service: cloudtrail)"))
		return
	}
	e, unused, err := l.compiler.detection(detection)
	if err == nil {
		err = l.register(rule)
	}
	if err != nil {
		l.refuse(d, err)
		return
	}
	for _, name := range unused {
		l.warn(d, "the condition does not use the detection %q", name)
	}
	rule.expr = e
	l.rules = append(l.rules, rule)
}

func (l *loader) warn(d *document, format string, args ...any) {
	r := d.ruleError(fmt.Errorf(format, args...))
	l.result.Warnings = append(l.result.Warnings, r)
}

// link applies filters and correlations to their rules and returns the rules that
// are on.
func (l *loader) link() (*Ruleset, LoadResult) {
	for _, d := range l.filters {
		if err := l.applyFilter(d); err != nil {
			l.refuse(d, err)
		}
	}
	l.linkCorrelations()
	l.applyOptions()
	rs := &Ruleset{source: l.encodeSource()}
	for _, r := range l.rules {
		r.Off = l.offReason(r)
		if r.Off != "" {
			l.result.Off = append(l.result.Off, RuleError{File: r.File, Line: r.Line, Rule: r.ID, Reason: r.Title + ": " + r.Off})
			if !l.neededByCorrelation(r) {
				continue
			}
		}
		rs.add(r)
	}
	rs.buildIndex()
	l.result.Usable = len(rs.rules) + len(rs.correlations)
	return rs, l.result
}

// applyOptions sets the levels from the options. It warns about names in the
// options that do not match a rule.
func (l *loader) applyOptions() {
	warn := func(name, reason string) {
		l.result.Warnings = append(l.result.Warnings, RuleError{File: "configuration", Rule: name, Reason: reason})
	}
	for _, name := range slices.Concat(l.options.Disable, l.options.Enable) {
		exempt := slices.ContainsFunc(l.exempt, func(r *Rule) bool { return r.listedIn([]string{name}) })
		if l.known[name] == nil && !exempt {
			warn(name, "no rule has this id or name")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.options.Levels)) {
		level := l.options.Levels[name]
		switch r := l.known[name]; {
		case r == nil:
			warn(name, "no rule has this id or name")
		case !slices.Contains(levels, level):
			warn(name, fmt.Sprintf("unknown level %q", level))
		default:
			r.Level = level
		}
	}
}

// listedIn reports whether the list contains the rule's id or name.
func (r *Rule) listedIn(list []string) bool {
	return slices.Contains(list, r.ID) || r.Name != "" && slices.Contains(list, r.Name)
}

// offReason returns why a rule is off, or "" if it is on.
func (l *loader) offReason(r *Rule) string {
	switch {
	case r.listedIn(l.options.Disable):
		return "disabled by the configuration"
	case l.options.All || r.listedIn(l.options.Enable):
		return ""
	}
	return r.Off
}

// neededByCorrelation reports whether a correlation that is on counts the hits of
// a rule that is off. It makes such a rule silent.
func (l *loader) neededByCorrelation(r *Rule) bool {
	for _, f := range r.feeds {
		if l.offReason(f.to) == "" {
			r.Silent = true
			return true
		}
	}
	return false
}

// applyFilter adds the condition of a filter document to the rules it names.
func (l *loader) applyFilter(d *document) error {
	v := d.value.get("filter")
	if v.kind != isMap {
		return parseErrorf(v.line, "the filter must be a map")
	}
	e, _, err := l.compiler.detection(v, "rules")
	if err != nil {
		return err
	}
	names := v.strs("rules")
	if len(names) == 0 {
		return parseErrorf(v.line, "the filter names no rules (ids, names or any)")
	}
	targets := map[*Rule]bool{}
	for _, name := range names {
		r, err := l.ruleNamed(d, name, v.get("rules").line)
		switch {
		case err == nil:
			targets[r] = true
		case strings.EqualFold(name, "any"):
			for _, r := range l.rules {
				targets[r] = true
			}
		default:
			return err
		}
	}
	if !negatedFilter(e) {
		e = notExpr{e}
	}
	for r := range targets {
		r.expr = allOf([]expr{r.expr, e})
	}
	return nil
}

// negatedFilter reports whether the condition of a filter describes the records
// that remain. This is the case for a negation and for negations joined by and.
func negatedFilter(e expr) bool {
	switch e := e.(type) {
	case notExpr:
		return true
	case andExpr:
		return !slices.ContainsFunc(e, func(x expr) bool { return !negatedFilter(x) })
	}
	return false
}
