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

// Options say how to load rules.
type Options struct {
	// Placeholders are the values of %name% for the modifier expand.
	Placeholders map[string][]string
	// Disable switches rules off by id or name, Enable switches rules on that are
	// off by default. Disable wins.
	Disable, Enable []string
	// Levels replaces the level of rules, by id or name.
	Levels map[string]Level
	// All switches on every rule that is off by default.
	All bool
	// Builtin adds the rules of this package.
	Builtin bool
	// Lateness of correlations; DefaultLateness when zero.
	Lateness time.Duration
}

// LoadResult says what became of the documents that were read.
type LoadResult struct {
	Files    int         `json:"files"`
	Usable   int         `json:"usable"` // rules that are on
	Off      []RuleError `json:"off"`    // rules that are off, and why
	Refused  []RuleError `json:"refused"`
	Skipped  []RuleError `json:"skipped"`  // no fault: rules for other logs, YAML that is no rule
	Warnings []RuleError `json:"warnings"` // usable, but somebody should look
}

// Err joins the refusals; nil when there is none.
func (r LoadResult) Err() error {
	var errs []error
	for _, f := range r.Refused {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

//go:embed rules
var builtin embed.FS

// offByDefault are rules of SigmaHQ that match ordinary work. As shipped they would
// page for it, so they are off until somebody switches them on, best together
// with a filter of the site's own.
var offByDefault = map[string]string{
	"905d389b-b853-46d0-9d3d-dea0d3a3cd49": "it matches every session of every role; use it for hunting",
	"8ad1600d-e9dc-4251-b0ee-a65268f29add": "it matches what services do for root too; the built-in rule on root leaves that out",
	"f305fd62-beca-47da-ad95-7690a0620084": "consoles and inventory tools list buckets all day",
	"c803b2ce-c4a2-4836-beae-b112010390b1": "routes are changed by infrastructure as code all day",
	"6fb77778-040f-4015-9440-572aa9b6b580": "security groups are changed by infrastructure as code all day; the built-in rule asks whether one was opened to the world",
	"77caf516-34e5-4df9-b4db-20744fea0a60": "people who sign in through an identity provider show MFAUsed No; the built-in rule leaves them out",
}

// Load reads every .yml and .yaml file under the paths, which are files or
// folders; hidden folders and folders named fixtures are passed over. A document
// that cannot be used does not stop the others: the report lists it.
func Load(o Options, paths ...string) (*Ruleset, LoadResult) {
	return newLoader(o).load(paths)
}

func newLoader(o Options) *loader {
	none := []RuleError{}
	return &loader{options: o, result: LoadResult{Off: none, Refused: none, Skipped: none, Warnings: none}, compiler: compiler{o.Placeholders}, known: map[string]*Rule{}}
}

func (l *loader) load(paths []string) (*Ruleset, LoadResult) {
	if l.options.Builtin {
		l.loadFolder(builtin, "rules", "builtin")
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		switch {
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
	files        []file // those that hold a rule, or were meant to
	rules        []*Rule
	correlations []*document
	filters      []*document
	exempt       []*Rule          // switched off, and could not be used anyway
	known        map[string]*Rule // by id and by name
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

// refuse says everything that is wrong with a document. One that the
// configuration switches off may be wrong: a folder of somebody else's rules
// has to be usable without the one that is not.
func (l *loader) refuse(d *document, err error) {
	for _, err := range unjoin(err) {
		r := d.ruleError(err)
		if d.rule != nil && d.rule.listedIn(l.options.Disable) {
			l.exempt = append(l.exempt, d.rule)
			r.Reason = "the configuration switches it off; it could not be used: " + r.Reason
			l.result.Off = append(l.result.Off, r)
			continue
		}
		l.addRefused(r)
	}
}

// loadFile reads the documents of one file.
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

// loadDocument compiles a rule at once; correlations and filters wait for the rules
// they name.
func (l *loader) loadDocument(d *document) {
	v := d.value
	skip := func(why string) {
		l.result.Skipped = append(l.result.Skipped, RuleError{File: d.file, Line: v.line, Rule: v.str("id"), Reason: why})
	}
	if v.str("action") != "" {
		l.refuse(d, parseErrorf(v.line, "action: %s is obsolete; write whole documents", v.str("action")))
		return
	}
	detection, correlation, filter := v.get("detection"), v.get("correlation"), v.get("filter")
	if detection == nil && correlation == nil && filter == nil {
		if v.get("logsource") == nil {
			skip("it is no Sigma document: no detection, correlation or filter")
			return
		}
		_, _ = readMetadata(d) // its name alone
		l.refuse(d, parseErrorf(v.line, "the detection is missing"))
		return
	}
	if v.get("logsource") != nil {
		if ours, what := v.logsource(); !ours && what != "" {
			skip("it is for another log: " + what)
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
	if ours, _ := d.value.logsource(); !ours {
		l.refuse(d, parseErrorf(d.value.line, "the logsource is missing; this is about product aws, service cloudtrail"))
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
		l.warn(d, "the detection %q is not used by the condition", name)
	}
	rule.expr = e
	l.rules = append(l.rules, rule)
}

func (l *loader) warn(d *document, format string, args ...any) {
	r := d.ruleError(fmt.Errorf(format, args...))
	l.result.Warnings = append(l.result.Warnings, r)
}

// register makes a rule known by its id and name. Both are taken once.
func (l *loader) register(r *Rule) error {
	for _, key := range []string{r.ID, r.Name} {
		if other := l.known[key]; other != nil && key != "" && other != r {
			return parseErrorf(r.Line, "%q is already the id or name of the rule in %s", key, other.File)
		}
		if key != "" {
			l.known[key] = r
		}
	}
	return nil
}

// link joins filters and correlations to the rules they name, and leaves out
// what is off.
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

// applyOptions sets the levels that the options ask for, and says which names in the
// options mean nothing.
func (l *loader) applyOptions() {
	warn := func(name, reason string) {
		l.result.Warnings = append(l.result.Warnings, RuleError{File: "configuration", Rule: name, Reason: reason})
	}
	for _, name := range slices.Concat(l.options.Disable, l.options.Enable) {
		spared := slices.ContainsFunc(l.exempt, func(r *Rule) bool { return r.listedIn([]string{name}) })
		if l.known[name] == nil && !spared {
			warn(name, "it is to be switched on or off, but is not loaded")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.options.Levels)) {
		level := l.options.Levels[name]
		switch r := l.known[name]; {
		case r == nil:
			warn(name, "it is given a level, but is not loaded")
		case !slices.Contains(levels, level):
			warn(name, fmt.Sprintf("it is given the level %q, which is not known", level))
		default:
			r.Level = level
		}
	}
}

// listedIn reports whether a list has the rule's id or name.
func (r *Rule) listedIn(list []string) bool {
	return slices.Contains(list, r.ID) || r.Name != "" && slices.Contains(list, r.Name)
}

// offReason says why a rule is off, "" when it is on.
func (l *loader) offReason(r *Rule) string {
	switch {
	case r.listedIn(l.options.Disable):
		return "the configuration switches it off"
	case l.options.All || r.listedIn(l.options.Enable):
		return ""
	}
	return r.Off
}

// neededByCorrelation: a rule that is off still runs for a correlation that is on, silently.
func (l *loader) neededByCorrelation(r *Rule) bool {
	for _, f := range r.feeds {
		if l.offReason(f.to) == "" {
			r.Silent = true
			return true
		}
	}
	return false
}

// applyFilter joins a filter document to its rules.
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
		return parseErrorf(v.line, "the filter names no rules")
	}
	targets := map[*Rule]bool{}
	for _, name := range names {
		switch r := l.known[name]; {
		case r != nil:
			targets[r] = true
		case strings.EqualFold(name, "any"):
			for _, r := range l.rules {
				targets[r] = true
			}
		default:
			return parseErrorf(v.get("rules").line, "the filter names the rule %q, which is not loaded", name)
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

// negatedFilter reports whether a filter's condition says what remains, rather than
// what to leave out: a negation, or negations joined by and.
func negatedFilter(e expr) bool {
	switch e := e.(type) {
	case notExpr:
		return true
	case andExpr:
		return !slices.ContainsFunc(e, func(x expr) bool { return !negatedFilter(x) })
	}
	return false
}
