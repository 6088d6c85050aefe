package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/backup"
	"tocsin/bot/command"
	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/doctor"
	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/terminal"
	"tocsin/bot/trust"
	"tocsin/store"
)

// hostile contains an escape sequence, an operating system command, controls of 7
// and 8 bits, bidirectional and zero-width characters, and line breaks.
const hostile = "a\x1b[2Jb\x1b]52;c;aGk=\x07c\u009b31md\u202ee\u2066f\u200bg\rh\ni\tj\ufeffk\b\x7fl\u2028m\U000e0041n"

// harmless has as many lines as hostile should have.
const harmless = "abcdefghijklmn"

// checkSafe requires that output has no harmful character.
func checkSafe(t *testing.T, what, output string) {
	t.Helper()
	if safe := terminal.Text(output); safe != output {
		t.Errorf("%s: got %q, want %q", what, output, safe)
	}
}

// planter fills every text of a value.
type planter struct {
	text   string
	fields []string // names of fields of an event
	kind   incident.EventKind
}

// maxPlantDepth bounds types that contain themselves.
const maxPlantDepth = 8

func (p planter) fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == reflect.TypeFor[incident.EventKind]() {
			v.SetString(string(p.kind))
		} else {
			v.SetString(p.text)
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Pointer:
		if depth < maxPlantDepth {
			v.Set(reflect.New(v.Type().Elem()))
			p.fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 && depth < maxPlantDepth {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			p.fill(v.Index(0), depth+1)
		}
	case reflect.Map:
		p.fillMap(v, depth)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 20, 2, 31, 0, 0, time.UTC)))
			return
		}
		for n := range v.NumField() {
			if v.Type().Field(n).IsExported() {
				p.fill(v.Field(n), depth+1)
			}
		}
	}
}

// fillMap fills a map with the names of all fields of events and one hostile key.
func (p planter) fillMap(v reflect.Value, depth int) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, name := range append([]string{p.text}, p.fields...) {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if key.Kind() != reflect.String || depth > maxPlantDepth {
			return
		}
		key.SetString(name)
		p.fill(value, depth+1)
		v.SetMapIndex(key, value)
		if v.Type().Elem().Kind() != reflect.String && v.Type().Elem() != reflect.TypeFor[incident.Text]() {
			return
		}
	}
}

// eventFields returns the names of the fields that the sentences of events use.
func eventFields(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, folder := range []string{"../../bot/incident", "../../templates"} {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`\.(?:Field|Text)\("(\w+)"\)`).FindAllSubmatch(raw, -1) {
				out = append(out, string(m[1]))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// outputTest runs the command line against a control socket that replies with
// planted text.
type outputTest struct {
	*testing.T
	dir   string
	reply any // of the next request
	code  int
}

func newOutputTest(t *testing.T) *outputTest {
	t.Helper()
	o := &outputTest{T: t, dir: t.TempDir(), code: http.StatusOK}
	for _, name := range envVariables.FindAllStringSubmatch(config.Example, -1) {
		t.Setenv(name[1], "0123456789abcdef0123456789abcdef")
	}
	t.Setenv("SENTRY_DSN", "https://0123456789abcdef@sentry.example.com/1")
	t.Setenv("TOCSIN_KEYSET_FILE", o.dir+"/keyset")
	t.Setenv("TOCSIN_DATABASE", "sqlite:"+o.dir+"/tocsin.db")
	t.Setenv("TOCSIN_CONTROL_SOCKET", o.dir+"/s")
	if err := os.WriteFile(o.dir+"/tocsin.yaml", []byte(config.Example), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", o.dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(o.code)
		_ = json.NewEncoder(w).Encode(o.reply)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return o
}

// run runs the command line as main does, and returns its output and its errors.
func (o *outputTest) run(args ...string) (out, errs string) {
	o.Helper()
	var stdout, stderr bytes.Buffer
	cmd := rootCommand()
	flush := escapeOutput(cmd, &stdout, &stderr)
	cmd.SetArgs(append(args, "-c", o.dir+"/tocsin.yaml"))
	if err := cmd.ExecuteContext(o.Context()); err != nil {
		printError(cmd, err)
	}
	flush()
	return stdout.String(), stderr.String()
}

// check runs a command with harmless and then with hostile replies. The output must
// be safe, and text must have as many lines. JSON must decode to the hostile text.
func (o *outputTest) check(reply func(planter) any, p planter, args ...string) {
	o.Helper()
	what := strings.Join(args, " ")
	p.text = harmless
	o.reply = reply(p)
	want, wantErrs := o.run(args...)
	p.text = hostile
	o.reply = reply(p)
	out, errs := o.run(args...)
	checkSafe(o.T, what, out)
	checkSafe(o.T, what+": errors", errs)
	if slices.Contains(args, "--json") {
		var v any
		if err := json.Unmarshal([]byte(out), &v); err != nil && o.code == http.StatusOK {
			o.Errorf("%s: got %q, want JSON", what, out)
		}
		if decoded, ok := findString(v); strings.Contains(out, `\u001b`) && !ok {
			o.Errorf("%s: got %q, want the stored text", what, decoded)
		}
		return
	}
	if got, lines := strings.Count(out, "\n"), strings.Count(want, "\n"); got != lines {
		o.Errorf("%s: got %d lines, want %d:\n%s", what, got, lines, out)
	}
	if o.code == http.StatusOK && (errs == "") != (wantErrs == "") {
		o.Errorf("%s: got errors %q, want %q", what, errs, wantErrs)
	}
}

// findString reports whether a decoded JSON value contains the hostile text.
func findString(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, strings.Contains(v, hostile)
	case []any:
		for _, e := range v {
			if s, ok := findString(e); ok {
				return s, true
			}
		}
	case map[string]any:
		for key, e := range v {
			if s, ok := findString(e); ok || key == hostile {
				return s, true
			}
		}
	}
	return "", false
}

func planted[T any](p planter) any {
	v := new(T)
	p.fill(reflect.ValueOf(v).Elem(), 0)
	return v
}

// replies are the possible replies to `tocsin incident`.
var replies = map[string]func(planter) any{
	"list": func(p planter) any {
		return control.Reply{List: planted[[]incident.Summary](p).(*[]incident.Summary), Names: plantedNames(p)}
	},
	"view": func(p planter) any {
		return control.Reply{View: planted[incident.View](p).(*incident.View), Names: plantedNames(p)}
	},
	"result": func(p planter) any {
		return control.Reply{Result: planted[incident.Result](p).(*incident.Result), Names: plantedNames(p)}
	},
	"no change": func(p planter) any {
		r := planted[incident.Result](p).(*incident.Result)
		r.Events = nil
		return control.Reply{Result: r, Names: plantedNames(p)}
	},
	"explanation": func(p planter) any {
		return control.Reply{Alerts: planted[incident.AlertResult](p).(*incident.AlertResult), Names: plantedNames(p)}
	},
	"trail": func(p planter) any {
		trail := planted[incident.Trail](p).(*incident.Trail)
		trail.Next = 0
		return control.Reply{Alerts: &incident.AlertResult{Trail: trail}, Names: plantedNames(p)}
	},
	"suppressed": func(p planter) any {
		a := planted[incident.AlertResult](p).(*incident.AlertResult)
		a.Trail, a.Explanation = nil, nil
		return control.Reply{Alerts: a, Names: plantedNames(p)}
	},
	"windows": func(p planter) any {
		a := planted[incident.AlertResult](p).(*incident.AlertResult)
		a.Trail, a.Explanation, a.Disposition = nil, nil, ""
		return control.Reply{Alerts: a, Names: plantedNames(p)}
	},
}

func plantedNames(p planter) map[incident.PersonID]string {
	return map[incident.PersonID]string{incident.PersonID(p.text): p.text}
}

// commandsWithoutStoredText lists the commands that the test does not run, with the
// reason.
var commandsWithoutStoredText = map[string]string{
	"tocsin demo":           "shows the sandbox, through the same writer",
	"tocsin serve":          "writes only the log",
	"tocsin config example": "prints a constant",
	"tocsin version":        "prints constants of the build",
	"tocsin audit key":      "prints a key that the keyset gives",
	"tocsin migrate":        "prints numbers and its own arguments",
	"tocsin backup restore": "prints numbers and its own arguments",
}

// TestOutput_Escaped runs every command with hostile text in every field of the
// replies. A command that the test does not know fails.
func TestOutput_Escaped(t *testing.T) {
	o := newOutputTest(t)
	p := planter{fields: eventFields(t), kind: "opened"}
	tested := map[string]bool{}
	for _, asJSON := range [][]string{nil, {"--json"}} {
		for _, v := range command.Specs() {
			tested["tocsin incident "+v.Name] = true
			o.check(replies["result"], p, append([]string{"incident", v.Name, "INC-1"}, asJSON...)...)
		}
		for _, reply := range replies {
			o.check(reply, p, append([]string{"incident", "status", "INC-1"}, asJSON...)...)
		}
		for _, kind := range incident.EventKinds() {
			p.kind = kind
			o.check(replies["view"], p, append([]string{"incident", "status", "INC-1"}, asJSON...)...)
		}
		o.check(replies["explanation"], p, append([]string{"explain", "A1"}, asJSON...)...)
		o.check(replies["trail"], p, append([]string{"ask", "key", "x"}, asJSON...)...)
		o.check(planted[store.Verification], p, append([]string{"verify"}, asJSON...)...)
		o.check(planted[[]store.Tombstone], p, append([]string{"retention"}, asJSON...)...)
		o.check(planted[control.AuditPage], p, append([]string{"audit", "list"}, asJSON...)...)
		o.check(plantedExport, p, append([]string{"audit", "export"}, asJSON...)...)
		o.check(plantedExport, p, append([]string{"audit", "prove", "1"}, asJSON...)...)
		o.check(planted[[]incident.WaitingEffect], p, append([]string{"effects"}, asJSON...)...)
		o.check(planted[control.Retried], p, append([]string{"effects", "retry"}, asJSON...)...)
		o.check(planted[control.Dropped], p, append([]string{"effects", "drop", "17", "--because", "x"}, asJSON...)...)
		o.check(planted[control.ReloadReport], p, append([]string{"reload", "--status"}, asJSON...)...)
		o.check(planted[backup.Result], p, append([]string{"backup", "now"}, asJSON...)...)
		o.check(planted[response.RestoreOverview], p, append([]string{"backup", "release"}, asJSON...)...)
		o.check(planted[control.Rotated], p, append([]string{"keys", "rotate"}, asJSON...)...)
		o.check(planted[control.Replayed], p, append([]string{"replay", "--since", "2h"}, asJSON...)...)
		o.check(planted[[]control.SourceState], p, append([]string{"sources"}, asJSON...)...)
		o.check(planted[[]control.WebSession], p, append([]string{"sessions", "list"}, asJSON...)...)
		o.check(planted[control.EndedSessions], p, append([]string{"sessions", "end", "--all"}, asJSON...)...)
		o.check(planted[control.LoginLink], p, append([]string{"login-link", "x"}, asJSON...)...)
		o.check(planted[trust.PasskeyList], p, append([]string{"passkeys", "list"}, asJSON...)...)
		o.check(planted[trust.EnrolmentCode], p, append([]string{"passkeys", "code", "x"}, asJSON...)...)
		o.check(planted[control.PasskeyChange], p, append([]string{"passkeys", "vouch", "x"}, asJSON...)...)
		o.check(planted[control.PasskeyChange], p, append([]string{"passkeys", "revoke", "x", "12345678"}, asJSON...)...)
	}
	o.check(plantedExport, p, "audit", "export", "--format", "syslog")
	refused := func(p planter) any {
		return map[string]any{"error": map[string]string{"code": "invalid", "message": p.text, "field": p.text}}
	}
	o.code = http.StatusConflict
	for _, args := range [][]string{{"incident", "list"}, {"explain", "A1"}, {"ask", "key", "x"}, {"verify"}, {"retention"}, {"audit", "list"}, {"audit", "export"}, {"audit", "prove", "1"}, {"export", "INC-7", "--out", "refused.zip"}, {"effects"}, {"effects", "retry"}, {"effects", "drop", "17"}, {"backup", "release"}, {"keys", "rotate"}, {"replay", "--since", "2h"}, {"sources", "show", "D7"}} {
		o.check(refused, p, args...)
		o.check(refused, p, append(args, "--json")...)
	}
	for _, name := range []string{"backup now", "backup release", "backup list", "backup verify", "explain", "ask", "verify", "retention", "audit list", "audit export", "audit prove", "audit check", "audit verify", "export", "effects", "effects retry", "effects drop", "keys rotate", "reload", "replay", "sources show", "sessions list", "sessions end", "login-link", "passkeys list", "passkeys code", "passkeys vouch", "passkeys revoke", "keys create", "config check", "health", "detect", "detect lint", "detect test", "sandbox", "init", "doctor"} {
		tested["tocsin "+name] = true // the others are in the tests below
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			return
		}
		if path := cmd.CommandPath(); cmd.Runnable() && len(cmd.Commands()) == 0 && !tested[path] && commandsWithoutStoredText[path] == "" {
			t.Errorf("%s: got a command without a test for hostile text, want it in this test", path)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
}

// plantedExport is the only line of an export of the audit log.
func plantedExport(p planter) any {
	return struct {
		*store.AuditEntry
		End bool `json:"end"`
	}{planted[store.AuditEntry](p).(*store.AuditEntry), true}
}

// TestOutput_Delivery covers a stored delivery, whose body may have several lines.
func TestOutput_Delivery(t *testing.T) {
	p := planter{}
	lines := func(text string) (out string, n int) {
		p.text = text
		d := *planted[control.Recorded](p).(*control.Recorded)
		d.Body = []byte("{\n" + text + "}")
		var b bytes.Buffer
		if err := writeText(&b, describeDelivery(d)); err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(b.String(), "\n\n")
		return b.String(), strings.Count(before, "\n")
	}
	_, want := lines(harmless)
	out, got := lines(hostile)
	checkSafe(t, "sources show", out)
	if got != want {
		t.Errorf("got %d lines before the body, want %d:\n%s", got, want, out)
	}
}

// TestOutput_FileNamesAndRecords covers text in files and their names.
func TestOutput_FileNamesAndRecords(t *testing.T) {
	o := newOutputTest(t)
	name := strings.ReplaceAll(hostile, "/", "-")
	record := map[string]any{"eventVersion": "1.08", "eventSource": "cloudtrail.amazonaws.com", "eventName": "StopLogging", "eventTime": hostile, "awsRegion": hostile,
		"eventID": hostile, "userIdentity": map[string]any{"type": "IAMUser", "arn": hostile}, "eventType": "AwsApiCall", "readOnly": false}
	raw, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file string, content []byte) string {
		t.Helper()
		file = filepath.Join(o.dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	log := write("logs/"+name+".json", raw)
	broken := write("logs/broken"+name+".json", []byte(`{"eventName":"a","eventName":"b","eventID":`+strconv.QuoteToASCII("x")+"}\n{"+hostile))
	quoted, err := json.Marshal(hostile) // a string of JSON is one of YAML
	if err != nil {
		t.Fatal(err)
	}
	rule := "title: " + string(quoted) + "\nid: " + string(quoted) + "\nauthor: " + string(quoted) + "\nlevel: high\nstatus: test\nlogsource: {product: aws, service: cloudtrail}\n" +
		"detection: {s: {eventName: StopLogging}, condition: s}\n"
	rules := filepath.Dir(write("rules"+name+"/good"+name+".yml", []byte(rule)))
	write("rules"+name+"/bad"+name+".yml", []byte(strings.Replace(rule, "eventName:", "eventName|"+strconv.QuoteToASCII("x")+":", 1)))
	write("rules"+name+"/worse"+name+".yml", []byte("title: "+string(quoted)+"\ndetection: "+string(quoted)+"\n"))
	health := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fail" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(hostile))
	}))
	defer health.Close()
	seen := 0
	for _, args := range [][]string{
		{"detect", log}, {"detect", log, "--json"}, {"detect", "--rules", rules, "--stats", log, broken, o.dir + "/logs"}, {"detect", "--rules", rules, "--json", "--detail", log, broken},
		{"detect", "missing" + hostile}, {"detect", "--format", hostile, log}, {"detect", "--placeholder", hostile, log}, {"detect", "--rules", "missing" + hostile, log},
		{"detect", "lint", rules}, {"detect", "lint", rules, "--json"}, {"detect", "test", rules}, {"detect", "test", rules, "--json"}, {"detect", "test", o.dir + "/" + hostile},
		{"keys", "create", o.dir + "/k" + name}, {"keys", "create", o.dir + "/k" + name}, {"replay", log}, {"replay", broken}, {"replay", "missing" + hostile},
		{"replay", "--source", hostile, log}, {"replay", "--since", hostile}, {"replay", "--since", "2h", "--to", hostile}, {"replay", "--to", "unix:" + hostile, "--source", "sentry", log},
		{"health", "--url", health.URL}, {"health", "--url", health.URL + "/fail"}, {"health", "--url", hostile}, {hostile}, {"incident", hostile}, {"--" + hostile}, {"explain", hostile, hostile},
		{"config", "check"}, {"incident", "list", "--" + hostile}, {"init", o.dir + "/" + hostile}, {"init", o.dir + "/n\u202ew"}, {"init", o.dir + "/n\u202ew"}, {"init", o.dir + "/x", "--person", hostile},
		{"init", o.dir + "/x", "--sandbox", hostile}, {"init", o.dir + "/x", "--source", hostile}, {"init", o.dir + "/x", "--local", hostile},
	} {
		out, errs := o.run(args...)
		checkSafe(t, strings.Join(args, " "), out)
		checkSafe(t, strings.Join(args, " ")+": errors", errs)
		seen += strings.Count(out+errs, `\u202e`)
		if strings.HasPrefix(strings.Join(args, " "), "detect "+log) && !slices.Contains(args, "--json") && strings.Count(out, "\n") != 1 {
			t.Errorf("got %q, want one line", out)
		}
	}
	if seen < 30 {
		t.Errorf("got %d escaped characters, want at least 30", seen)
	}
	cmd := rootCommand()
	var stderr bytes.Buffer
	flush := escapeOutput(cmd, &stderr, &stderr)
	cmd.SetArgs([]string{"config", "check", "-c", o.dir + "/" + hostile})
	printError(cmd, cmd.ExecuteContext(t.Context()))
	flush()
	checkSafe(t, "config check", stderr.String())
}

// writersOutsideOutput lists the files that may write in another way, with the
// reason.
var writersOutsideOutput = map[string]string{
	"output.go":          "holds the functions that escape",
	"detect_progress.go": "draws numbers on the terminal",
	"side_channels.go":   "prints stacks",
	"replay.go":          "writes recordings, which must be exact, to a file",
	"main.go":            "passes the standard output to escapeOutput",
}

// TestOutput_OneWay finds commands that do not write through the functions in
// output.go.
func TestOutput_OneWay(t *testing.T) {
	forbidden := map[string][]string{"fmt": {"Print", "Printf", "Println", "Fprint", "Fprintf", "Fprintln"}, "json": {"NewEncoder"}, "io": {"WriteString", "Copy"},
		"tabwriter": {"NewWriter"}, "os": {"Stdout", "Stderr"}, "log": {"Print", "Printf", "Println"}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || writersOutsideOutput[name] != "" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := selector.X.(*ast.Ident); ok && slices.Contains(forbidden[pkg.Name], selector.Sel.Name) {
				t.Errorf("%s: got %s.%s, want a function of output.go", name, pkg.Name, selector.Sel.Name)
			}
			return true
		})
	}
}

// TestOutput_Findings prints findings of the doctor, which quote names of the
// configuration and of other systems.
func TestOutput_Findings(t *testing.T) {
	for _, fix := range []string{"", hostile} {
		var out bytes.Buffer
		if err := writeFinding(&out, doctor.Finding{Check: hostile, Status: doctor.Failed, Text: hostile, Fix: fix}); err != nil {
			t.Fatal(err)
		}
		checkSafe(t, "doctor", out.String())
		if lines := strings.Count(out.String(), "\n"); lines > 2 {
			t.Errorf("got %d lines, want at most 2", lines)
		}
	}
}

// TestOutput_Backups prints addresses of the configuration, names of files and errors of
// other systems.
func TestOutput_Backups(t *testing.T) {
	copies := []backup.ListedCopy{{Destination: hostile, State: backup.CopyDamaged, Address: hostile}}
	catalogue := backup.Catalogue{Destinations: []backup.Copy{{Destination: hostile, Problem: hostile}}, Backups: []backup.Entry{{Key: hostile, Class: hostile, Copies: copies}}}
	report := backup.Report{Key: hostile, From: hostile, Checkpoint: hostile}
	failed := report
	failed.Problems = []string{hostile}
	for text, lines := range map[string]int{catalogueText(catalogue): 3, reportText(report): 4, reportText(failed): 2} {
		var out bytes.Buffer
		if err := writeText(&out, text+"\n"); err != nil {
			t.Fatal(err)
		}
		checkSafe(t, "backup", out.String())
		if got := strings.Count(out.String(), "\n"); got != lines {
			t.Errorf("got %d lines in %q, want %d", got, out.String(), lines)
		}
	}
}

// TestShowView_SeverityProposal shows when the proposal of an alert takes effect.
func TestShowView_SeverityProposal(t *testing.T) {
	until := time.Date(2026, 11, 30, 3, 19, 0, 0, time.UTC)
	v := incident.View{Incident: incident.Incident{ID: 7, SeverityProposal: &incident.SeverityProposal{Severity: incident.Sev1, Until: until}}}
	for now, want := range map[time.Time]string{
		until.Add(-5 * time.Minute): "sev1 by an alert, raised at 03:19 UTC without an answer",
		until.Add(-24 * time.Hour):  "sev1 by an alert, raised at 03:19 UTC on 2026-11-30 without an answer",
	} {
		var out bytes.Buffer
		if err := showView(&out, v, nil, now); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("at %s: got %q, %v, want %q", now, out.String(), err, want)
		}
	}
}

func TestTerminalFile(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if got := terminalFile(w); got != nil {
		t.Errorf("a pipe: got %s, want no terminal", got.Name())
	}
	if got := terminalFile(&strings.Builder{}); got != nil {
		t.Errorf("a buffer: got %s, want no terminal", got.Name())
	}
	for path, want := range map[string]bool{os.DevNull: false, "/dev/zero": false, "/dev/ptmx": true, filepath.Join(t.TempDir(), "file"): false} {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil && want && os.Getenv("CI") == "" {
			t.Logf("%s: skipped without a pseudo terminal: %v", path, err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := terminalFile(terminal.NewWriter(f)); (got == f) != want {
			t.Errorf("%s: got a terminal: %t, want %t", path, got != nil, want)
		}
		_ = f.Close()
	}
}

func TestSandbox_EscapesFileNames(t *testing.T) {
	account := aws.New(aws.Config{})
	defer account.Close()
	account.AddQueue(aws.Queue{Name: unreadQueue})
	account.AddQueue(aws.Queue{Name: sandboxQueue})
	unread := account.Send(unreadQueue, "{}")
	var out strings.Builder
	sandbox := awsSandbox{account: account, waiting: map[string]string{"a": "x\n\x1b[2Jy", unread: "z\u202e"}}
	failed, err := sandbox.reportRead(&out)
	if err != nil || failed != 1 || strings.Count(out.String(), "\n") != 2 || strings.ContainsAny(out.String(), "\x1b\u202e") {
		t.Errorf("got %q, %d, %v, want two escaped lines, one of them for a file that was not read", out.String(), failed, err)
	}
}
