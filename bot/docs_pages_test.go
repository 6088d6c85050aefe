package bot

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"tocsin/bot/command"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/telemetry"
	"tocsin/playbooks"
)

// TestDocs_Verbs compares the tables of /incident commands with the grammar.
func TestDocs_Verbs(t *testing.T) {
	p := openPage(t, "docs/commands.md")
	var b strings.Builder
	b.WriteString("| Command | Help | Example |\n|---|---|---|\n")
	for _, v := range command.Specs() {
		name := "`" + strings.TrimSpace(v.Name+" "+v.Usage()) + "`"
		if len(v.Aliases) > 0 {
			name += ", short: `" + strings.Join(v.Aliases, "`, `") + "`"
		}
		var examples []string
		for _, e := range v.Examples {
			examples = append(examples, "`"+cell(e)+"`")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(name), cell(v.Help), strings.Join(examples, "<br>"))
	}
	p.generated("verbs", strings.ReplaceAll(b.String(), `\\|`, `\|`))
}

var incidentLine = regexp.MustCompile(`(?m)^/incident (.+)$`)

// TestDocs_IncidentExamples parses every typed command in a text block.
func TestDocs_IncidentExamples(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	dir := incident.Directory{People: []incident.Person{{ID: "p-ada", Name: "Ada"}}}
	for _, p := range allPages(t) {
		for _, f := range p.fences("text") {
			for _, m := range incidentLine.FindAllStringSubmatch(f.text, -1) {
				text := strings.ReplaceAll(m[1], "@ada", "Ada")
				if _, err := command.Parse(text, command.Context{Incident: 42, Who: "p-ada", Directory: dir, Now: at}); err != nil {
					t.Errorf("%s:%d: got %v, want a valid command: /incident %s", p.path, f.line, err, m[1])
				}
			}
		}
	}
}

var descPattern = regexp.MustCompile(`fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), .*variableLabels: \{([^}]*)\}`)

// TestDocs_Times compares the tables of times with the readings of the grammar.
func TestDocs_Times(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	c := command.Context{Incident: 42, Zone: paris, Now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}
	read := func(text string) (string, error) {
		w, err := command.Parse("note at "+text+" because of a test", c)
		if err != nil {
			return err.Error(), err
		}
		var at time.Time
		for _, echo := range command.TypedTimes(w.Command, paris) {
			at, _ = echo.Args[0].(time.Time)
		}
		return incident.TimeText(at), nil
	}
	p := openPage(t, "docs/commands.md")
	var times, unclear strings.Builder
	times.WriteString("| Typed | Read as |\n|---|---|\n")
	for _, text := range []string{"02:31", "10:00 pm", "9:30 a.m.", "22h30", "noon", "now", "20 min ago", "1h30m ago", "2 days ago at 10:00", "yesterday 22:00", "22:00 yesterday", "monday 9:00", "last friday 9:00",
		"2026-11-18 10:00", "2026-11-18T10:00:00.250+01:00", "18.11.2026 10:00", "18 Nov 10:00", "Nov 18, 2026 10 am", "18/11/2026 10:00",
		"02:31 UTC", "02:31Z", "2026-11-18 10:00 EST", "10 pm CET yesterday", "2026-11-18 10:00 America/New_York", "2026-11-18 10:00 UTC+2", "2026-11-18 10:00 +05:30"} {
		reading, err := read(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		fmt.Fprintf(&times, "| `%s` | %s |\n", text, reading)
	}
	for _, text := range []string{"in 2 hours", "tomorrow 10:00", "in 3 days at 10:00", "28 Nov 10:00"} {
		w, err := command.Parse("review "+text, c)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		fmt.Fprintf(&times, "| `%s` (in the future) | %s |\n", text, incident.TimeText(w.Command.When))
	}
	unclear.WriteString("| Typed | Answer |\n|---|---|\n")
	for _, text := range []string{"03/04/2026 10:00", "2026-11-18 10:00 CST", "2026-07-18 10:00 EST", "2026-03-29 02:30", "2026-10-25 02:30", "next friday 10:00", "yesterday midnight", "2026-11-18"} {
		answer, err := read(text)
		if err == nil {
			t.Errorf("%s: got %s, want an error", text, answer)
		}
		fmt.Fprintf(&unclear, "| `%s` | %s |\n", text, cell(answer))
	}
	p.generated("times", times.String())
	p.generated("unclear", unclear.String())
}

// TestDocs_Metrics compares the table of metrics with the registered ones.
func TestDocs_Metrics(t *testing.T) {
	m := telemetry.NewMetrics()
	registered, described := map[string]bool{}, map[string]bool{}
	var rows []string
	fields := reflect.ValueOf(m).Elem()
	for n := range fields.NumField() {
		field := fields.Field(n)
		// The fields are not exported, and a metric does not report its type before it has a value.
		collector, ok := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Interface().(prometheus.Collector)
		if !ok {
			continue
		}
		if field.Type() == reflect.TypeFor[*prometheus.Registry]() {
			registered = describe(collector)
			continue
		}
		kind := "gauge"
		switch typeName := field.Type().String(); {
		case strings.Contains(typeName, "Counter"):
			kind = "counter"
		case strings.Contains(typeName, "Histogram"):
			kind = "histogram"
		}
		for desc := range describe(collector) {
			described[desc] = true
			parts := descPattern.FindStringSubmatch(desc)
			if parts == nil {
				t.Fatalf("got the description %s, want a name, a help and labels", desc)
			}
			name, _ := strconv.Unquote(parts[1])
			help, _ := strconv.Unquote(parts[2])
			labels := ""
			for _, label := range strings.Split(parts[3], ",") {
				if label != "" {
					labels += "`" + label + "` "
				}
			}
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kind, strings.TrimSpace(labels), cell(help)))
		}
	}
	for desc := range registered {
		if !described[desc] && !strings.Contains(desc, `"go_`) && !strings.Contains(desc, `"process_`) {
			t.Errorf("got the metric %s without a field in telemetry.Metrics, want one", desc)
		}
	}
	slices.Sort(rows)
	openPage(t, "docs/operations.md").generated("metrics", "| Name | Type | Labels | Meaning |\n|---|---|---|---|\n"+strings.Join(rows, ""))
}

// describe returns the descriptions of a collector's metrics.
func describe(c prometheus.Collector) map[string]bool {
	ch := make(chan *prometheus.Desc, 1000)
	c.Describe(ch)
	close(ch)
	out := map[string]bool{}
	for desc := range ch {
		out[desc.String()] = true
	}
	return out
}

// TestDocs_Outcomes requires that the pages explain the values of the label
// outcome.
func TestDocs_Outcomes(t *testing.T) {
	text := openPage(t, "docs/operations.md").text
	for file, prefix := range map[string]string{"intake/observer.go": "Outcome", "trail/observer.go": "Outcome", "response/ingest.go": "outcome", "response/desk.go": "AttemptOutcome"} {
		for _, value := range constants(t, file, prefix) {
			if !strings.Contains(text, "`"+value+"`") {
				t.Errorf("docs/operations.md: got no text about the outcome %q of %s, want its meaning", value, file)
			}
		}
	}
}

// constants lists the string constants of a file whose type ends in want, or,
// without a type, whose name begins with it.
func constants(t *testing.T, file, want string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range parsed.Decls {
		group, ok := d.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			value := spec.(*ast.ValueSpec)
			typ, typed := value.Type.(*ast.Ident)
			if typed && !strings.HasSuffix(typ.Name, want) || !typed && !strings.HasPrefix(value.Names[0].Name, want) || len(value.Values) == 0 {
				continue
			}
			if lit, ok := value.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, _ := strconv.Unquote(lit.Value)
				out = append(out, s)
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("got no constants in %s, want some", file)
	}
	return out
}

// TestDocs_Rules compares the list of built-in rules with the rule set.
func TestDocs_Rules(t *testing.T) {
	rules, report := detect.Load(detect.Options{Builtin: true, All: true})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	list := slices.Clone(rules.Rules())
	slices.SortFunc(list, func(a, b *detect.Rule) int {
		return strings.Compare(a.File+fmt.Sprintf("%09d", a.Line), b.File+fmt.Sprintf("%09d", b.Line))
	})
	var b strings.Builder
	b.WriteString("| Name | Level | Title |\n|---|---|---|\n")
	for _, r := range list {
		if r.Silent {
			continue
		}
		notes := ""
		if r.Correlation != nil {
			notes += " (counts several records)"
		}
		if r.Off != "" {
			notes += " (off by default)"
		}
		name := r.Name
		if name == "" {
			name = r.ID
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s%s |\n", name, r.Level, cell(r.Title), notes)
	}
	openPage(t, "docs/detection.md").generated("rules", b.String())
}

var derivedPattern = regexp.MustCompile("`(tocsin\\.[a-z_.]*[a-z])`")

// TestDocs_DerivedFields compares the derived fields with those of the engine.
func TestDocs_DerivedFields(t *testing.T) {
	var want, got []string
	for _, m := range regexp.MustCompile(`"(tocsin\.[a-z_.]*[a-z])"`).FindAllStringSubmatch(readFile(t, "detect/derived.go"), -1) {
		want = append(want, m[1])
	}
	for _, m := range derivedPattern.FindAllStringSubmatch(openPage(t, "docs/detection.md").text, -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	slices.Sort(want)
	if got = slices.Compact(got); !slices.Equal(got, slices.Compact(want)) || len(want) == 0 {
		t.Errorf("docs/detection.md: got the derived fields %v, want %v", got, want)
	}
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestDocs_RuleExamples loads the example rules together and runs the example
// fixtures against them.
func TestDocs_RuleExamples(t *testing.T) {
	p := openPage(t, "docs/detection.md")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "fixtures"), 0o700); err != nil {
		t.Fatal(err)
	}
	rules, fixtures := p.fences("yaml rule"), p.fences("yaml fixture")
	if len(rules) == 0 || len(fixtures) == 0 {
		t.Fatal("docs/detection.md: got no example of a rule or a fixture, want one of each")
	}
	for n, f := range rules {
		writeFile(t, filepath.Join(dir, fmt.Sprintf("rule%d.yml", n)), f.text)
	}
	for n, f := range fixtures {
		writeFile(t, filepath.Join(dir, "fixtures", fmt.Sprintf("fixture%d.yml", n)), f.text)
	}
	result := detect.Check(detect.Options{All: true}, dir)
	for _, problem := range result.Problems {
		t.Errorf("docs/detection.md: got %v, want examples that pass `tocsin detect test`", problem)
	}
	if len(result.Untested) > 0 || result.Rules == 0 {
		t.Errorf("docs/detection.md: got %d tested rules and %v without fixtures, want fixtures for every rule", result.Rules, result.Untested)
	}
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDocs_PlaybookExample parses the example of a playbook and requires that
// the page explains every action and every built-in playbook.
func TestDocs_PlaybookExample(t *testing.T) {
	p := openPage(t, "docs/playbooks.md")
	examples := p.fences("yaml playbook")
	if len(examples) == 0 {
		t.Fatal("docs/playbooks.md: got no example, want one")
	}
	for _, f := range examples {
		name := "playbook"
		if m := regexp.MustCompile(`(?m)^name: (\S+)$`).FindStringSubmatch(f.text); m != nil {
			name = m[1]
		}
		if _, err := playbooks.Parse(name+".yaml", []byte(f.text)); err != nil {
			t.Errorf("docs/playbooks.md:%d: got %v, want a valid playbook", f.line, err)
		}
	}
	library, err := playbooks.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range slices.Concat(playbooks.Actions(), library.Names()) {
		if !strings.Contains(p.text, "`"+word+"`") {
			t.Errorf("docs/playbooks.md: got no text about `%s`, want its meaning", word)
		}
	}
}

// Operators search the log by these messages.
func TestDocs_LogMessages(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "<!-- messages:begin -->")
	table, _, ended := strings.Cut(table, "<!-- messages:end -->")
	if !found || !ended {
		t.Fatal("got no table of messages in docs/operations.md")
	}
	var code strings.Builder
	sources(t, func(path string, content []byte) {
		if !strings.HasSuffix(path, "_test.go") {
			code.Write(content)
		}
	}, ".go")
	messages := 0
	for _, row := range strings.Split(table, "\n") {
		cells := strings.Split(row, "|")
		if len(cells) < 3 {
			continue
		}
		for n, message := range strings.Split(cells[1], "`") {
			if n%2 == 0 {
				continue
			}
			messages++
			if !strings.Contains(code.String(), strconv.Quote(message)) {
				t.Errorf("docs/operations.md: no code logs %q, correct or remove it", message)
			}
		}
	}
	if messages < 10 {
		t.Errorf("got %d messages, want at least 10", messages)
	}
}

// TestDocs_PagesInReadme requires a link to every page in README.md.
func TestDocs_PagesInReadme(t *testing.T) {
	readme := openPage(t, "README.md").text
	for _, p := range allPages(t) {
		if p.path != "README.md" && !strings.Contains(readme, "]("+p.path+")") {
			t.Errorf("README.md: %s is missing in the table of pages", p.path)
		}
	}
}
