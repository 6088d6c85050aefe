package expression

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testAlert has the fields of an alert in conditions.
type testAlert struct {
	Title  string            `expr:"title"`
	Detail string            `expr:"detail" size:"long"`
	Kinds  []string          `expr:"kinds"`
	Sample bool              `expr:"sample"`
	Tags   map[string]string `expr:"tags"`
}

// testBody has the values of a mapping.
type testBody struct {
	Body any `expr:"body"`
}

// worst returns expensive expressions. The values of each repeat its unit.
func worst() map[string]struct{ source, unit string } {
	alternatives := []string{}
	for n := range 60 {
		alternatives = append(alternatives, fmt.Sprintf("%c%c", 'a'+n%26, 'a'+n/26))
	}
	texts := []string{}
	for n := range 200 {
		texts = append(texts, fmt.Sprintf(`"%03d%s"`, n, strings.Repeat("x", 10)))
	}
	contains := []string{}
	for n := range 60 {
		contains = append(contains, fmt.Sprintf(`detail contains "%saab%d"`, strings.Repeat("a", 40), n))
	}
	ternary := `"x"`
	for n := range 40 {
		ternary = fmt.Sprintf(`(detail contains "q%d" ? "b" : %s)`, n, ternary)
	}
	return map[string]struct{ source, unit string }{
		"alternation":         {`detail matches "(` + strings.Join(alternatives, "|") + `)z"`, "ab"},
		"alternation of case": {`detail matches "(?i)(failed|denied|refused|unauthori[sz]ed)"`, "faile"},
		"optional states":     {`detail matches "(x?){20}(x+){20}y"`, "x"},
		"counted states":      {`detail matches "(.{1,5}.{1,5}.{1,5}.{1,5}){3}$0"`, "xy"},
		"classes":             {`detail matches "([\\p{L}\\p{N}]+[\\p{Lu}]+)+$x"`, "Ωж"},
		"nested stars":        {`detail matches "((((a*)*)*)*)*b"`, "a"},
		"contains":            {strings.Join(contains, " or "), "a"},
		"contains long":       {`detail contains "` + strings.Repeat("a", 900) + `b" or detail contains "b` + strings.Repeat("a", 900) + `"`, "a"},
		"lower":               {`lower(detail) contains "q"`, "İ"},
		"upper of bytes":      {`upper(detail) contains "q"`, "\xff"},
		"lower chain":         {`lower(upper(lower(trim(detail)))) contains "q"`, "Ж"},
		"trim":                {`trim(detail, "` + strings.Repeat("Ω", 40) + `") == "x"`, "Ω"},
		"concatenation":       {`let a = detail + detail; let b = a + a; let c = b + b; c endsWith "q"`, "abc"},
		"split":               {`len(split(detail, "")) > 0`, "abc"},
		"replace":             {`replace(detail, "a", "` + strings.Repeat("b", 20) + `") == "q"`, "a"},
		"in list":             {`detail in [` + strings.Join(texts, ", ") + `]`, "x"},
		"in list of values":   {`detail in [` + strings.Repeat("title, ", 150) + `detail]`, "x"},
		"equal":               {strings.Repeat(`detail == title or `, 100) + `false`, "x"},
		"ternaries":           {ternary + ` == "z"`, "x"},
		"any over tags":       {`any(values(tags), # matches "(?i)x+y")`, "x"},
		"none over kinds":     {`none(kinds, lower(#) contains "q" or # in tags)`, "Ж"},
		"chain of lists":      {`len(filter(map(filter(kinds, # != "q"), lower(#)), # contains "q")) > 1`, "x"},
		"indexOf":             {`lastIndexOf(detail, "` + strings.Repeat("a", 60) + `b") > 0`, "a"},
		"runs of spaces":      {`detail matches "^\\s*(\\S+\\s+)*\\S+\\s*$q"`, "x "},
		"word boundaries":     {`detail matches "\\bx?\\bx?\\bx?\\bx?\\bx?z"`, "x "},
		"captures":            {`detail matches "` + strings.Repeat("(", 40) + "x" + strings.Repeat(")?", 40) + `y"`, "x"},
		"dots":                {`detail matches ".*.*.*.*.*=.*.*.*;"`, "x"},
		"large classes":       {`detail matches "(?i)([a-zßäöü]?){20}[\\p{Greek}\\p{Cyrillic}]{5}z"`, "ж"},
		"many fields":         {strings.Repeat(`tags["1"] != title and `, 120) + `true`, "x"},
		"numbers":             {strings.Repeat(`len(kinds) * 3 ** 2 > -7 and `, 45) + `true`, "x"},
		"predicate of calls":  {`all(kinds, lower(trim(#)) != "q" and upper(#) != "" and # + # + title != "z")`, "é"},
		"nested lists":        {`[kinds, [kinds, [kinds, [kinds, kinds]]]] != [kinds, [kinds, [kinds, [kinds, tags]]]]`, "x"},
		"json":                {`len(toJSON(tags)) > 0`, "<"},
	}
}

// alertOf returns an alert whose texts have a number of bytes.
func alertOf(unit string, size int) testAlert {
	text := strings.Repeat(unit, max(size/len(unit), 1))
	a := testAlert{Title: strings.Clone(text), Detail: text, Tags: map[string]string{}}
	for n := range 40 {
		a.Kinds = append(a.Kinds, text[:len(text)/40/len(unit)*len(unit)])
		a.Tags[fmt.Sprint(n)] = a.Kinds[n]
	}
	return a
}

// largest returns the largest alert within the budget of a program.
func largest(p *Program, unit string) testAlert {
	low, high := 1, 1<<20
	fits := func(size int) bool {
		b := NewBudget(ConditionSteps)
		e := p.estimator(alertOf(unit, size), b.left)
		e.charge(runSteps)
		e.visit(p.node)
		return !e.exceeded()
	}
	if fits(high) {
		return alertOf(unit, high)
	}
	for high-low > max(low/50, 1) {
		if mid := (low + high) / 2; fits(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return alertOf(unit, low)
}

// BenchmarkWorst reports the time of expensive conditions on the largest alert that
// their budget allows, and on an alert with texts of 1 MiB. The target is below 1 ms.
func BenchmarkWorst(b *testing.B) {
	all := worst()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		program, err := Compile(all[name].source, testAlert{}, Condition)
		if err != nil {
			b.Logf("%s is refused: %v", name, err)
			continue
		}
		for size, a := range map[string]testAlert{"within_budget": largest(program, all[name].unit), "1_MiB": alertOf(all[name].unit, 1<<20)} {
			b.Run(strings.ReplaceAll(name, " ", "_")+"/"+size, func(b *testing.B) {
				before := cpuTime()
				for b.Loop() {
					_, err := program.Matches(a)
					var cost *CostError
					if err != nil && !errors.As(err, &cost) {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(a.Detail)), "bytes")
				b.ReportMetric(float64((cpuTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/eval")
			})
		}
	}
}

// cpuTime returns the CPU time of the process, which does not depend on the load of
// the machine as much as the time of a clock.
func cpuTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkUsual reports the time of a usual condition.
func BenchmarkUsual(b *testing.B) {
	program, err := Compile(`title == "cloudtrail" && tags["level"] in ["high", "critical"] && detail contains "root"`, testAlert{}, Condition)
	if err != nil {
		b.Fatal(err)
	}
	a := testAlert{Title: "cloudtrail", Detail: "by root", Tags: map[string]string{"level": "high"}}
	for b.Loop() {
		if _, err := program.Matches(a); err != nil {
			b.Fatal(err)
		}
	}
}
