package detect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// absent, as a value in a fixture, removes the field.
const absent = "<absent>"

// CheckResult is the result of [Check].
type CheckResult struct {
	Rules    int         `json:"rules"`    // with fixtures
	Records  int         `json:"records"`  // evaluated
	Mutants  int         `json:"mutants"`  // rules with one part removed
	Untested []string    `json:"untested"` // ids of rules without fixtures
	Problems []RuleError `json:"problems"`
}

// Check loads rules like [Load], with all rules switched on, and runs their
// fixtures. It also removes each condition and each value of a list from each rule
// in turn, and reports an error if no fixture fails then.
//
// Fixtures are YAML documents in folders named fixtures next to the rules. A
// document contains matching records for one rule, and near misses that differ
// from one of these in a single field. A rule may have several documents.
//
//	rule: trail-stopped            # id or name of the rule
//	records: [{…}, …]              # records that match
//	also:    [{eventName: X}, …]   # the first record with one field changed also matches
//	not:     [{of: 2, eventName: X}, {errorCode: <absent>}] # and does not match
//
// A path may contain numbers for elements of lists. The number of the changed
// record is given by of. For a correlation, the records are repeated with new IDs
// and times:
//
//	fires: [{times: 5, every: 1m, vary: requestParameters.secretId}]
//	quiet: [{times: 4, every: 1m}]
func Check(o Options, paths ...string) CheckResult {
	o.All = true
	l := newLoader(o)
	_, loaded := l.load(paths)
	c := &checker{known: l.known, tests: map[*Rule]*ruleTests{}}
	c.result.Problems = loaded.Refused
	if o.Builtin {
		c.checkFolder(builtin, "rules", "builtin")
	}
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			c.checkFolder(os.DirFS(p), ".", p)
		}
	}
	for _, r := range l.rules {
		if cs := c.tests[r]; cs != nil {
			c.checkMutants(r, cs)
		} else {
			c.result.Untested = append(c.result.Untested, r.ID)
		}
	}
	return c.result
}

type checker struct {
	known  map[string]*Rule
	tests  map[*Rule]*ruleTests
	result CheckResult
}

// ruleTests are the fixtures of one rule.
type ruleTests struct {
	file      string // of the first document
	line      int
	records   []testCase
	sequences []sequence
}

func (c *checker) checkFolder(fsys fs.FS, root, shown string) {
	_ = fs.WalkDir(fsys, root, func(p string, e fs.DirEntry, err error) error {
		ext := path.Ext(p)
		if err != nil || e.IsDir() || path.Base(path.Dir(p)) != "fixtures" || ext != ".yaml" && ext != ".yml" && ext != ".json" {
			return nil // load has reported read errors
		}
		file := path.Join(shown, strings.TrimPrefix(p, root+"/"))
		src, err := fs.ReadFile(fsys, p)
		if err != nil {
			c.addError(file, 0, "", "%s", err)
			return nil
		}
		docs, err := parseYAML(src)
		if err != nil {
			c.addError(file, (&document{value: &value{}}).ruleError(err).Line, "", "%s", err)
			return nil
		}
		for _, v := range docs {
			c.runFixture(file, v)
		}
		return nil
	})
}

func (c *checker) addError(file string, line int, rule, format string, args ...any) {
	c.result.Problems = append(c.result.Problems, RuleError{File: file, Line: line, Rule: rule, Reason: fmt.Sprintf(format, args...)})
}

// testCase is a record and whether the rule should match it.
type testCase struct {
	record *Record
	want   bool
	line   int
}

func (c *checker) runFixture(file string, v *value) {
	r := c.known[v.str("rule")]
	if r == nil {
		c.addError(file, v.line, v.str("rule"), "the fixture names an unknown rule")
		return
	}
	cs := c.tests[r]
	if cs == nil {
		cs = &ruleTests{file: file, line: v.line}
		c.tests[r] = cs
		c.result.Rules++
	}
	var err error
	if r.Correlation != nil {
		err = c.checkSequences(file, r, v, cs)
	} else {
		err = c.checkRecords(file, r, v, cs)
	}
	if f := new(parseError); errors.As(err, &f) {
		c.addError(file, f.line, r.ID, "%s", f.reason)
	}
}

func (c *checker) checkRecords(file string, r *Rule, v *value, cs *ruleTests) error {
	js, err := buildCases(v)
	for _, j := range js {
		c.result.Records++
		if got := r.expr.eval(j.record); got != j.want {
			c.addError(file, j.line, r.ID, "the record should %s", map[bool]string{true: "match", false: "not match"}[j.want])
		}
	}
	cs.records = append(cs.records, js...)
	return err
}

// checkMutants reports an error for each mutant of a rule that passes all fixtures.
func (c *checker) checkMutants(r *Rule, cs *ruleTests) {
	check := func(change string, fails bool) {
		c.result.Mutants++
		if !fails {
			c.addError(cs.file, cs.line, r.ID, "a near miss is missing: all fixtures also pass for the rule %s", change)
		}
	}
	if r.Correlation == nil {
		for _, m := range mutants(r.expr, true) {
			check(m.change, slices.ContainsFunc(cs.records, func(j testCase) bool { return m.expr.eval(j.record) != j.want }))
		}
		return
	}
	for _, m := range correlationMutants(r.Correlation) {
		check(m.change, slices.ContainsFunc(cs.sequences, func(s sequence) bool { return fires(m.correlation, s.records) != s.want }))
	}
}

// buildCases builds the test cases of a fixture.
func buildCases(v *value) ([]testCase, error) {
	base, err := baseRecords(v)
	if err != nil {
		return nil, err
	}
	var out []testCase
	for i, b := range base {
		r, err := fromValue(b)
		if err != nil {
			return nil, parseErrorf(v.line, "record %d: %s", i+1, err)
		}
		out = append(out, testCase{r, true, v.get("records").items[i].line})
	}
	for _, list := range []string{"also", "not"} {
		changes := v.get(list)
		if changes == nil {
			continue
		}
		for _, change := range changes.items {
			b, err := withChange(base, change)
			if err != nil {
				return nil, err
			}
			r, err := fromValue(b)
			if err != nil {
				return nil, parseErrorf(change.line, "%s", err)
			}
			out = append(out, testCase{r, list == "also", change.line})
		}
	}
	return out, nil
}

func baseRecords(v *value) (out []any, err error) {
	records := v.get("records")
	if records == nil || records.kind != isList || len(records.items) == 0 {
		return nil, parseErrorf(v.line, "the fixture has no records")
	}
	for _, r := range records.items {
		out = append(out, r.jsonValue())
	}
	return out, nil
}

// withChange returns one of the records with a single field changed.
func withChange(base []any, change *value) (any, error) {
	of, field := 1, ""
	var to *value
	for i, key := range change.keys {
		if key == "of" {
			of, _ = strconv.Atoi(change.items[i].text)
			continue
		}
		if field != "" {
			return nil, parseErrorf(change.line, "a change must have one field, not both %s and %s", field, key)
		}
		field, to = key, change.items[i]
	}
	if to == nil || of < 1 || of > len(base) {
		return nil, parseErrorf(change.line, "a change needs one field, and of must be the number of a record")
	}
	out, ok := withField(base[of-1], strings.Split(field, "."), to)
	if !ok {
		return nil, parseErrorf(change.line, "record %d has no field %s to change", of, field)
	}
	return out, nil
}

// withField returns a copy of v with the value at path changed. It returns false
// if v has no such path.
func withField(v any, path []string, to *value) (any, bool) {
	if len(path) == 0 {
		return to.jsonValue(), true
	}
	switch v := v.(type) {
	case map[string]any:
		out := maps.Clone(v)
		if len(path) == 1 && to.text == absent {
			delete(out, path[0])
			return out, true
		}
		inner, ok := withField(v[path[0]], path[1:], to)
		out[path[0]] = inner
		return out, ok
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		out := slices.Clone(v)
		inner, ok := withField(v[i], path[1:], to)
		out[i] = inner
		return out, ok
	}
	return nil, false
}

// sequence is a list of records and whether the correlation should fire for them.
type sequence struct {
	records []*Record
	want    bool
}

// checkSequences runs one fixture of a correlation.
func (c *checker) checkSequences(file string, r *Rule, v *value, cs *ruleTests) error {
	base, err := baseRecords(v)
	if err != nil {
		return err
	}
	for _, list := range []string{"fires", "quiet"} {
		if v.get(list) == nil {
			continue
		}
		for _, one := range v.get(list).items {
			records, err := buildSequence(base, one)
			if err != nil {
				return err
			}
			s := sequence{records, list == "fires"}
			cs.sequences = append(cs.sequences, s)
			c.result.Records += len(records)
			if fires(r.Correlation, records) != s.want {
				c.addError(file, one.line, r.ID, "the correlation should %s", map[bool]string{true: "fire", false: "not fire"}[s.want])
			}
		}
	}
	return nil
}

// sequenceStart is the time of the first record of a sequence.
var sequenceStart = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// buildSequence builds the records of a sequence from the fixture's records.
func buildSequence(base []any, s *value) ([]*Record, error) {
	times, _ := strconv.Atoi(s.str("times"))
	every, err := time.ParseDuration(s.str("every"))
	if times < 1 || err != nil {
		return nil, parseErrorf(s.line, "a sequence needs times and every, such as {times: 5, every: 1m}")
	}
	var out []*Record
	for i := range times {
		b, ok := base[i%len(base)].(map[string]any)
		if !ok {
			return nil, parseErrorf(s.line, "a record must be a map")
		}
		b = maps.Clone(b)
		b["eventID"], b["eventTime"] = fmt.Sprint("event-", i), sequenceStart.Add(time.Duration(i)*every).Format(time.RFC3339)
		var v any = b
		for _, field := range s.strs("vary") {
			v, _ = withField(v, strings.Split(field, "."), &value{kind: isText, text: fmt.Sprint("value-", i)})
		}
		r, err := fromValue(v)
		if err != nil {
			return nil, parseErrorf(s.line, "%s", err)
		}
		out = append(out, r)
	}
	return out, nil
}

// fires reports whether the correlation fires for the records.
func fires(c *Correlation, records []*Record) bool {
	to := &Rule{ID: "correlation", Correlation: c}
	windows := map[string]Window{}
	for _, r := range records {
		for which, rule := range c.Rules {
			if rule.expr == nil || !rule.expr.eval(r) {
				continue
			}
			fired := false
			feed{to, which}.observe(Hit{rule, r}, sequenceStart, func(o Observation) {
				w, f := c.Advance(windows[o.Key], o)
				windows[o.Key] = w
				fired = fired || f != nil
			})
			if fired {
				return true
			}
		}
	}
	return false
}

// fromValue returns the record of a decoded YAML value.
func fromValue(v any) (*Record, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return DecodeRecord(b.Bytes())
}
