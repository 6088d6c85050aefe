package expression

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/expr-lang/expr/builtin"
)

// TestFunctions_CoverEveryBuiltin fails when a new version of expr-lang adds a
// function. Give the function a cost, or refuse it.
func TestFunctions_CoverEveryBuiltin(t *testing.T) {
	for name := range builtin.Index {
		_, refused := refusals[name]
		if functions[name] == refused {
			t.Errorf("%s: got allowed %t, refused %t; want exactly one", name, functions[name], refused)
		}
	}
	for name := range functions {
		if _, ok := builtin.Index[name]; !ok {
			t.Errorf("%s: got allowed, but expr-lang has no such function", name)
		}
	}
	for name := range refusals {
		if _, ok := builtin.Index[name]; !ok {
			t.Errorf("%s: got refused, but expr-lang has no such function", name)
		}
	}
}

// nest returns an expression that repeats a form around itself.
func nest(form, inner string, levels int) string {
	for range levels {
		inner = strings.ReplaceAll(form, "@", inner)
	}
	return inner
}

func TestCompile_RefusesUnboundedExpressions(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, c := range map[string]struct{ source, want string }{
		"endless predicates":      {`let a = 1..900000; all(a, {let x = #; all(a, {# + x > 0})})`, "the range operator .. is not allowed. Compare with >= and <= (line 1, column 10)"},
		"range in a list":         {`1 in 1..3`, "the range operator .. is not allowed"},
		"nested predicates":       {`any(kinds, all(kinds, # != ""))`, "a predicate inside a predicate is not allowed. Use one any, all or filter at a time (line 1, column 23)"},
		"nested in a pipe":        {`kinds | any(kinds | all(# != ""))`, "a predicate inside a predicate is not allowed"},
		"reduce":                  {`reduce(kinds, #acc + #) == ""`, "the function reduce is not allowed, because its result can grow with every element. Use one of: abs, all,"},
		"repeat":                  {`repeat(title, 100000) == ""`, "the function repeat is not allowed"},
		"sort":                    {`len(sort(kinds)) > 0`, "the function sort is not allowed"},
		"clock":                   {`now().Year() > 1`, "the function now is not allowed"},
		"time zone":               {`timezone("Europe/Paris") == nil`, "the function timezone is not allowed, because it reads files"},
		"method":                  {`title.Len() > 0`, ""},
		"unknown function":        {`frobnicate(title)`, `the function "frobnicate" is not allowed`},
		"whole environment":       {`$env["title"] == ""`, "$env is not allowed. Name the value itself"},
		"sequence":                {`1; true`, "several expressions with ; are not allowed"},
		"bytes":                   {`b"x" == b"x"`, "bytes such as"},
		"dynamic pattern":         {"title matches detail", "a pattern that is not constant is not allowed. Write the pattern in quotes after matches, or use contains (line 1, column 15)"},
		"built pattern":           {`title matches ("a" + "b")`, "a pattern that is not constant is not allowed"},
		"long pattern":            {`title matches "` + strings.Repeat("x", 257) + `"`, "a pattern has 257 bytes. Use at most 256"},
		"large pattern":           {`title matches "(ab){500}"`, "states. Use at most 300"},
		"invalid pattern":         {`title matches "("`, "the pattern is not valid"},
		"long source":             {`title == "` + long + `"`, "the expression has 5011 bytes. Use at most 4096"},
		"long text":               {`title == "` + long[:1025] + `"`, "a text has 1025 bytes. Use at most 1024"},
		"long list":               {`title in [` + strings.Repeat(`"a",`, 201) + `]`, "a list has 201 elements. Use at most 200"},
		"NUL":                     {"title == \"\x00\"", "contains a NUL character"},
		"many nodes":              {strings.Repeat("sample or ", 300) + "sample", "exceeds maximum allowed nodes"},
		"doubling ?:":             {nest("(@ ?: sample)", "sample", 60), "the expression is larger than 500 nodes or 250 levels"},
		"doubling comparison":     {nest("(1 < (@ ? 1 : 2) < 3)", "sample", 40), "the expression is larger than 500 nodes or 250 levels"},
		"parentheses":             {strings.Repeat("(", 2000) + "sample" + strings.Repeat(")", 2000), "-"},
		"signs":                   {strings.Repeat("-", 4000) + "1 > 0", "exceeds maximum allowed nodes"},
		"not":                     {strings.Repeat("!", 400) + "sample", "larger than 500 nodes or 250 levels"},
		"doubling text":           {`let a = title + title; let b = a + a; let c = b + b; let d = c + c; let e = d + d; let f = e + e; let g = f + f; let h = g + g; let i = h + h; let j = i + i; j == ""`, "too expensive"},
		"doubling list":           {`let a = [kinds, kinds]; let b = [a, a]; let c = [b, b]; let d = [c, c]; let e = [d, d]; let f = [e, e]; f == [f]`, "too expensive"},
		"growing replacement":     {`replace(replace(replace(title, "", "` + strings.Repeat("y", 100) + `"), "", "zzzzzzzzzz"), "", "zzzz") == ""`, "too expensive"},
		"growing case":            {`len(lower(upper(lower(upper(lower(upper(title))))))) > 0`, "too expensive"},
		"many patterns":           {strings.Repeat(`detail matches "(?i)(a|b|cd|ef)+.{0,10}" or `, 10) + "sample", "too expensive"},
		"pattern on every detail": {`any(kinds, detail matches "(?i)(failed|denied).{0,9}")`, "too expensive"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(c.source, testAlert{}, Condition)
			if c.want == "-" { // harmless
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			var refused *Error
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestCompile_AcceptsUsualConditions(t *testing.T) {
	a := testAlert{Title: "Login failed for ada", Detail: strings.Repeat("at line 1 of main\n", 100) + "AccessDenied", Kinds: []string{"a", "b"}, Tags: map[string]string{"env": "prod", "users": "500"}}
	for source, want := range map[string]bool{
		`true`: true,
		`title contains "Login" and not (detail startsWith "x")`: true,
		`title matches "(?i)^login (failed|denied)"`:             true,
		`detail matches "AccessDenied"`:                          true,
		`tags["env"] in ["prod", "staging"]`:                     true,
		`tags.env == "prod" && int(tags["users"]) > 100`:         true,
		`"users" in tags`:                                        true,
		`any(kinds, # startsWith "b")`:                           true,
		`kinds | any(# == "c")`:                                  false,
		`none(filter(kinds, # != "a"), # == "a")`:                true,
		`let t = lower(title); t contains "ada" or t == ""`:      true,
		`(tags?.owner ?? "none") == "none"`:                      false, // an absent tag is an empty text
		`split(title, " ")[0] == "Login"`:                        true,
		`get(tags, "env") == "prod"`:                             true,
		`len(title) > 3 ? sample : true`:                         false,
		`if sample { false } else { len(kinds) == 2 }`:           true,
		`title[:5] == "Login"`:                                   true,
		`1 < len(kinds) < 3`:                                     true,
		`any(values(tags), # == "prod")`:                         true,
		`{"prod": 1, "test": 2}[tags["env"]] == 1`:               true,
	} {
		program, err := Compile(source, testAlert{}, Condition)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := program.Matches(a); err != nil || got != want {
			t.Errorf("%s: got %t, %v; want %t", source, got, err, want)
		}
	}
}

// TestRun_RefusesExpensiveValues runs conditions on an alert of 1 MiB.
func TestRun_RefusesExpensiveValues(t *testing.T) {
	a := alertOf("Ж", 1<<20)
	for source, expensive := range map[string]bool{
		`title == detail`:                          false,
		`detail startsWith "x"`:                    false,
		`detail == "x" or sample`:                  false,
		`detail in ["a", "b"]`:                     false,
		`detail matches "x+y"`:                     true,
		`lower(detail) contains "x"`:               true,
		`detail contains "x"`:                      true,
		`let d = detail; any(kinds, d contains #)`: true,
		`len(split(detail, "x")) > 1`:              true,
	} {
		program, err := Compile(source, testAlert{}, Condition)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		_, err = program.Matches(a)
		var cost *CostError
		if errors.As(err, &cost) != expensive || err != nil && !expensive {
			t.Errorf("%s: got %v, want too expensive: %t", source, err, expensive)
		}
	}
}

func TestRun_ErrorHasNoDrawing(t *testing.T) {
	program, err := Compile(`int(tags["n"]) > 1`, testAlert{}, Condition)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := program.Matches(testAlert{}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want an error of one line", err)
	}
	if got := (&Error{Message: "x"}).Error(); got != "x" {
		t.Errorf("got %q, want no position", got)
	}
}

func TestComparisons(t *testing.T) {
	got := fmt.Sprint(Comparisons("title == \"a\" and\n\"b\" != title or title in [\"c\", detail] or tags.x == \"d\""))
	want := `[{title == a 1 10} {title != b 2 1} {title in c 2 27}]`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, source := range []string{`title ==`, nest("(@ ?: sample)", "sample", 60), strings.Repeat(" ", 5000), `title == "a"` + strings.Repeat(" ", 5000)} {
		if got := Comparisons(source); got != nil {
			t.Errorf("got %v, want nil", got)
		}
	}
}

func TestClauses(t *testing.T) {
	clauses, err := Clauses(`title == "a" and (tags["x"] == title && sample)`, testAlert{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range clauses {
		if c.Err != nil {
			t.Errorf("%s: %v", c.Text, c.Err)
		}
		got = append(got, fmt.Sprint(c.Text, c.Reads))
	}
	want := []string{`title == "a"[title]`, `tags.x == title[tags["x"] title]`, `sample[sample]`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCompile_SyntaxAndTypes(t *testing.T) {
	for source, want := range map[string]string{`title ==`: "unexpected token EOF", `sauce == "x"`: "unknown name sauce (line 1, column 1)", `title`: "expected bool",
		"sample and\n title > 1": "mismatched types string and int) (line 2, column 8)"} {
		_, err := Compile(source, testAlert{}, Condition)
		var bad *Error
		if !errors.As(err, &bad) || !bad.Syntax() || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
}

func TestCompile_TextResult(t *testing.T) {
	for source, want := range map[string]string{`title`: "", `1`: "", `tags`: "returns a map", `kinds`: "returns a slice"} {
		if _, err := Compile(source, testAlert{}, Text); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
	if _, err := Compile(`kinds`, testAlert{}, List); err != nil {
		t.Errorf("got %v, want a list accepted", err)
	}
}

// TestDocs_NameTheLimits compares the page about expressions with the limits.
func TestDocs_NameTheLimits(t *testing.T) {
	page, err := os.ReadFile("../../docs/configure.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(page), "`", "")
	for _, want := range []string{"| functions | " + FunctionNames() + " |", fmt.Sprintf("| length | %d bytes, %d nodes |", MaxSource, maxNodes),
		fmt.Sprintf("| text in quotes | %d bytes |", maxLiteral), fmt.Sprintf("| in quotes, %d bytes, %d states |", maxPattern, maxStates),
		fmt.Sprintf("| %d elements |", maxList), fmt.Sprintf("| cost of a condition | %s steps |", thousands(ConditionSteps)),
		fmt.Sprintf("| cost of a mapping | %s steps", thousands(MappingSteps)), fmt.Sprintf("texts of %d characters and a detail of %d", assumedText, assumedLong)} {
		if !strings.Contains(text, want) {
			t.Errorf("docs/configure.md: got no %q", want)
		}
	}
}

// thousands returns n with commas between its groups of three digits.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for k := len(s) - 3; k > 0; k -= 3 {
		s = s[:k] + "," + s[k:]
	}
	return s
}
