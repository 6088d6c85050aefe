package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// parseText parses a file with the name f, with the variables of the example.
func parseText(text string, environ ...string) (Config, error) {
	return Parse("f", []byte(text), environ, exampleEnv)
}

// TestParse_ErrorsHavePlaces checks the file, line and column of each kind of error. The
// texts are parts of a configuration, so other errors are ignored.
func TestParse_ErrorsHavePlaces(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"unknown key":              {"listen: 127.0.0.1:1\nlistn: x\n", "f:2:1: listn: unknown key. Did you mean listen?"},
		"unknown key below":        {"slack:\n  # comment\n  bot_tokn: x\n", "f:3:3: slack.bot_tokn: unknown key. Did you mean bot_token?"},
		"unknown key in brackets":  {"slack: {command: /x, bot_tokn: y}\n", "f:1:22: slack.bot_tokn: unknown key."},
		"unknown key in a list":    {"people:\n  - name: Ada\n    e-mail: a@b\n", "f:3:5: people[0].e-mail: unknown key."},
		"unknown key of a team":    {"departments:\n  legal: {heads: x}\n", "f:2:11: departments.legal.heads: unknown key. Did you mean head?"},
		"key twice":                {"listen: a\nmail:\n  port: 1\n  host: x\n  port: 2\n", "f:5:3: mail.port: is already set in line 3. Remove one of the two"},
		"top-level key twice":      {"mail: {}\nlisten: a\n\nmail: {}\n", "f:4:1: mail: is already set in line 1."},
		"team twice":               {"teams:\n  a: {}\n  b: {}\n  a: {}\n", "f:4:3: teams.a: is already set in line 2."},
		"duration":                 {"storm:\n  per:   24 hours\n", "f:2:10: storm.per: has the wrong type or format. Write a duration such as 5m or 24h"},
		"duration without a unit":  {"storm:\n  per: 24\n", "f:2:8: storm.per: has the wrong type or format. Write a duration such as 5m or 24h, not a number"},
		"days":                     {"retention: {inbox: 1 year}\n", "f:1:20: retention.inbox: has the wrong type or format. Write a duration such as 24h or 400d"},
		"days where none are":      {"storm: {per: 1d}\n", "f:1:14: storm.per: has the wrong type or format. Write a duration such as 5m or 24h"},
		"day":                      {"sources:\n  report:\n    security_txt:\n      expires: 2026-02-30\n", "f:4:16: sources.report.security_txt.expires: has the wrong type or format. Write a day such as 2026-12-20"},
		"whole number":             {"mail: {port: smtp}\n", "f:1:14: mail.port: has the wrong type or format. Write a whole number, not text"},
		"number with a fraction":   {"mail: {port: 5.5}\n", "f:1:14: mail.port: has the wrong type or format. Write a whole number"},
		"number out of range":      {"mail: {port: 99999999999999999999}\n", "f:1:14: mail.port: has the wrong type or format. Write a whole number,"},
		"number":                   {"sources: {sns: {limits: {rate: many}}}\n", "f:1:32: sources.sns.limits.rate: has the wrong type or format. Write a number, not text"},
		"boolean":                  {"sign_off:\n    submitter_may_sign: perhaps\n", "f:2:25: sign_off.submitter_may_sign: has the wrong type or format. Write true or false, not text"},
		"network":                  {"sources:\n  trusted_proxies:\n  - 127.0.0.1\n  - office\n", "f:4:5: sources.trusted_proxies[1]: has the wrong type or format. Write a network such as 192.0.2.0/24, or an address"},
		"list for text":            {"language: [en]\n", "f:1:1: language: has the wrong type or format. Write text, not a list"},
		"map for text":             {"language:\n  a: b\n", "f:1:1: language: has the wrong type or format. Write text, not a map"},
		"map for a secret":         {"slack: {bot_token: {a: b}}\n", "f:1:9: slack.bot_token: has the wrong type or format. Write one value, in quotes if necessary"},
		"map for a list":           {"redaction:\n  literals:\n    a: b\n", "f:2:3: redaction.literals: has the wrong type or format. Write a list, such as [a, b], not a map"},
		"text for a map":           {"detection: {levels: high}\n", "f:1:21: detection.levels: has the wrong type or format. Write a map, such as {a: b}, not text"},
		"text for keys":            {"listen: x\nstorm: none\n", "f:2:8: storm: has the wrong type or format. Compare it with `tocsin config example`"},
		"list for keys":            {"storm:\n- a\n", "f:1:1: storm: has the wrong type or format."},
		"variable":                 {"slack:\n  bot_token: \"x${UNSET}\"\n", "f:2:14: slack.bot_token: the environment variable UNSET is not set. Set it or write the value"},
		"variable in a list":       {"redaction:\n  literals:\n  - a\n  - ${UNSET}\n", "f:4:5: redaction.literals[1]: the environment variable UNSET is not set."},
		"variable of wrong type":   {"mail:\n  port: ${SMTP_PASSWORD}\n", "f:2:9: mail.port: has the wrong type or format. Write a whole number, not text"},
		"invalid value":            {"time_zone: Paris\n", "f:1:12: time_zone: is not an IANA time zone."},
		"invalid value of a part":  {"listen: 1\ntelemetry:\n  log_level: loud\n", "f:3:14: telemetry.log_level: unknown level."},
		"invalid value in a list":  {"sources:\n  sns:\n    topics: [a, b]\n", "f:3:17: sources.sns.topics[1]: "},
		"invalid rule":             {"routing:\n- when: 'true'\n  open: sev9\n", "f:3:9: routing[0].open: unknown severity."},
		"missing key of a map":     {"listen: x\nslack:\n  command: /x\n", "f:2:1: slack.bot_token: is missing."},
		"missing key in a list":    {"people:\n  - {name: Ada}\n", "f:2:5: people[0].email: is missing."},
		"missing key of a step":    {"escalation:\n  steps:\n  - pagerduty: {}\n", "f:3:5: escalation.steps[0].pagerduty.routing_key: does not have 32 characters."},
		"missing section":          {"listen: x\n", "f:1:1: people: is empty."},
		"empty section":            {"listen: x\npeople:\n", "f:2:1: people: is empty."},
		"text in several lines":    {"review:\n  agenda: |\n    mondays\nlanguage: zz-notalang\n", "f:2:11: review.agenda: is not a cron schedule."},
		"after several lines":      {"slack:\n  command: >\n    /incident\n    x\nlanguage: zz-notalang\n", "f:5:11: language: "},
		"after umlauts":            {"review: {agenda: ä} # ü\nmail: {host: é, port: ö}\n", "f:2:23: mail.port: "},
		"with CRLF":                {"listen: 127.0.0.1:1\r\nslack:\r\n  bot_tokn: x\r\n", "f:3:3: slack.bot_tokn: unknown key."},
		"after a byte order mark":  {"\xef\xbb\xbflistn: x\r\n", "f:1:1: listn: unknown key."},
		"in a value by alias":      {"storm: &s {incidents: 1, per: x}\nredaction: {literals: *s}\n", "f:1:31: storm.per: "},
		"alias of the wrong type":  {"redaction: {literals: &l [a]}\nlanguage: *l\n", "f:2:1: language: has the wrong type or format. Write text, not a list"},
		"in a merged map":          {"storm: &s {per: 24 hours}\nescalation: {<<: *s}\n", "f:1:12: escalation.per: unknown key."},
		"by the alias of a scalar": {"language: &l zz-notalang\ntime_zone: *l\n", "f:2:12: time_zone: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseText(tt.text)
			if err == nil || !strings.Contains(err.Error(), "\n  "+tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), canary[:20]) {
				t.Errorf("the error contains a secret: %v", err)
			}
		})
	}
}

// TestParse_ErrorsFollowTheFile checks that a person can correct the errors from the first
// line to the last, whatever the names of the keys are.
func TestParse_ErrorsFollowTheFile(t *testing.T) {
	text := "time_zone: Paris\npeople:\n" + strings.Repeat("  - {slack: x, name: FILL_IN, email: FILL_IN}\n", 11) + "listen: x\nbad: y\nalso_bad: z\n"
	_, err := Parse("f", []byte(text), nil, func(string) (string, bool) { return "", false })
	var problems Errors
	if !errors.As(err, &problems) || len(problems) < 5 {
		t.Fatalf("got %v, want several errors", err)
	}
	last, column := 0, 0
	for _, e := range problems {
		var line, at int
		if _, err := fmt.Sscanf(e.Place, "f:%d:%d", &line, &at); err != nil || line < last || line == last && at < column {
			t.Errorf("got %s after line %d column %d, want the order of the file", e.Place, last, column)
		}
		last, column = line, at
	}
}

// TestParse_VariablesAreNamed checks the errors of values that TOCSIN_… variables set.
func TestParse_VariablesAreNamed(t *testing.T) {
	for name, tt := range map[string]struct{ text, variable, want string }{
		"type":              {"", "TOCSIN_MAIL__PORT=" + canary, "TOCSIN_MAIL__PORT: mail.port: has the wrong type or format. Write a whole number, not text"},
		"value":             {"time_zone: UTC\n", "TOCSIN_TIME_ZONE=Paris", "TOCSIN_TIME_ZONE: time_zone: is not an IANA time zone."},
		"variable in it":    {"", "TOCSIN_SLACK__BOT_TOKEN=${UNSET}", "TOCSIN_SLACK__BOT_TOKEN: slack.bot_token: the environment variable UNSET is not set."},
		"without a key":     {"", "TOCSIN_DATABSE=" + canary, "TOCSIN_DATABSE: does not set any key. Did you mean TOCSIN_DATABASE?"},
		"below a text":      {"\nslack: x\n", "TOCSIN_SLACK__BOT_TOKEN=" + canary, "f:2:8: slack: has the wrong type or format."},
		"below nothing":     {"slack:\n", "TOCSIN_SLACK__COMMAND=x", "TOCSIN_SLACK__COMMAND: slack.command: is not a slash command."},
		"below a new key":   {"", "TOCSIN_SOURCES__REPORT__FORM__POLICY=x", "TOCSIN_SOURCES__REPORT__FORM__POLICY: sources.report.form.policy: "},
		"another key below": {"", "TOCSIN_SOURCES__REPORT__FORM__POLICY=x", "TOCSIN_SOURCES__REPORT__FORM__POLICY: sources.report.form.company: is missing."},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseText(tt.text, "PATH=/bin", tt.variable)
			if err == nil || !strings.Contains(err.Error(), "\n  "+tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), canary[:20]) {
				t.Errorf("the error contains the value: %v", err)
			}
		})
	}
}

// bomb returns a file whose aliases stand for 10^levels values.
func bomb(levels int) string {
	text := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for n := range levels {
		text += fmt.Sprintf("a%d: &a%[1]d [%s]\n", n+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", n), 10), ", "))
	}
	return text
}

// TestParse_UnreadableFiles checks the error of files that are not a configuration.
func TestParse_UnreadableFiles(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"tab":                {"slack:\n\tcommand: /x\n", "f:2:1: invalid YAML: a tab is not allowed here. Indent with spaces"},
		"open bracket":       {"listen: [\n", "f:1:9: invalid YAML: sequence end token ']' not found. Correct the line"},
		"open quote":         {"listen: 127.0.0.1:1\nslack: {bot_token: \"" + canary + "\n", "f:2:20: invalid YAML: could not find end character of double-quoted text. Correct the line"},
		"two values":         {"listen: a: b\n", "f:1:9: invalid YAML: mapping value is not allowed in this context. Check the indentation and the quotes up to this line"},
		"open quote above":   {"listen: \"a\nlanguage: en\ncommand: \"b\"\n", "f:3:11: invalid YAML: value is not allowed in this context. Check the indentation and the quotes up to this line"},
		"secret with @":      {"listen: @" + canary + "\n", "f:1:9: invalid YAML: '@' is a reserved character. Write the value in quotes"},
		"secret with |":      {"listen: |" + canary + "\n", "f:1:9: invalid YAML: invalid header option. Write the value in quotes"},
		"secret with *":      {"listen: *" + canary + "\n", "f:1:9: the alias has no anchor before it. Write the value in quotes, or add the anchor to an earlier value"},
		"list":               {"# c\n- listen\n", "f:2:1: the file contains a list. Write keys and values, as in `tocsin config example`"},
		"text":               {canary + "\n", "f:1:1: the file contains text. Write keys and values, as in `tocsin config example`"},
		"two documents":      {"listen: a\n---\nlisten: b\n", "f:3:7: the file has a second document. Remove it, with the line --- before it"},
		"empty document":     {"listen: a\n---\n---\nlisten: b\n", "f:2:1: an empty document hides the rest of the file. Remove the line ---"},
		"not UTF-8":          {"listen: \xff\n", "f:1:1: the file is not UTF-8. Save it as UTF-8"},
		"key that is a list": {"? [a]\n: b\n", "f:2:1: invalid YAML: found an invalid key for this map. Correct the line"},
		"unknown alias":      {"listen: *here\n", "f:1:9: the alias has no anchor before it."},
		"alias in itself":    {"people: &p\n- *p\n", "f:2:3: the alias is part of its own value."},
		"merged list":        {"storm: &s [a]\nmail: {<<: *s}\n", "f:2:8: the key << merges maps, not text."},
		"too long":           {strings.Repeat("# comment\n", 60_000), "f:1:1: the file has more than 524288 bytes."},
		"too many keys":      {strings.Repeat("listen: a\n", 20_001), "f:1:1: the file has more than 20000 colons."},
		"too many brackets":  {"listen: a\npeople: " + strings.Repeat("[", 10_000), "f:2:1: values are nested in more than 50 others."},
		"too many dashes":    {"people:\n" + strings.Repeat("- ", 10_000), "f:2:1: values are nested in more than 50 others."},
		"too deep":           {deep(60), "f:52:"},
		"too many merges":    {merges(), "the file has more than 100000 values. Use fewer aliases"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseText(tt.text)
			if err == nil || !strings.HasPrefix(err.Error(), "read configuration f:") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.300v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), canary[:20]) {
				t.Errorf("the error contains a secret: %v", err)
			}
		})
	}
}

// deep returns a file with maps in maps, without brackets.
func deep(levels int) string {
	var text strings.Builder
	for n := range levels {
		text.WriteString(strings.Repeat(" ", n) + "a:\n")
	}
	return text.String()
}

// merges returns a file whose maps are merged into many others.
func merges() string {
	text := "a: &a {"
	for n := range 1000 {
		text += fmt.Sprintf("k%d: x, ", n)
	}
	return text + "}\nb:\n" + strings.Repeat("- {<<: *a}\n", 1000)
}

// TestParse_AliasesAreBounded parses a file of 4 KB whose aliases stand for 10^40
// values. It must take little memory, whatever key uses them.
func TestParse_AliasesAreBounded(t *testing.T) {
	for _, use := range []string{"redaction: {literals: *a39}", "people: *a39", "departments: {legal: *a39}", "detection: {placeholders: {a: *a39}}",
		"sources: {generic: *a39, sentry: {client_secrets: *a39}}", "routing: [{when: *a39}]", "unknown: *a39"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := parseText(bomb(39) + use + "\n")
		runtime.ReadMemStats(&after)
		var errs Errors
		if !errors.As(err, &errs) {
			t.Errorf("%s: got %v, want Errors", use, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 200<<20 {
			t.Errorf("%s: got %d MiB allocated, want at most 200", use, used>>20)
		}
	}
	wide := "redaction: {literals: [x" + strings.Repeat(", x", 999) + "]}\na: &a {x: &x [b" + strings.Repeat(", b", 999) + "]}\ndetection:\n  placeholders:\n"
	for n := range 200 {
		wide += fmt.Sprintf("    p%d: *x\n", n)
	}
	if _, err := parseText(wide); err == nil || !strings.Contains(err.Error(), "configuration: has more than 100000 values. Use fewer aliases") {
		t.Errorf("200 aliases of 1000 values: got %v, want one error", err)
	}
}

// TestParse_Accepts checks forms that a file may use.
func TestParse_Accepts(t *testing.T) {
	text := strings.NewReplacer("\n", "\r\n", "port: 587", "port: ${PORT}", "time_zone: Europe/Paris", "time_zone: &zone Europe/Paris",
		"responder: false", "responder: 0", "members: [ines@example.com]", "members: ines@example.com", "  burst: 0", "  burst: \"\"").Replace("\xef\xbb\xbf# é\n---\n" + Example + "\n...\n")
	lookup := func(name string) (string, bool) {
		if name == "PORT" {
			return "0x19", true
		}
		return exampleEnv(name)
	}
	c, err := Parse("f", []byte(text), []string{"TOCSIN_REPLICA_ID=007", "TOCSIN_MAIL__USERNAME="}, lookup)
	if err != nil {
		t.Fatal(err)
	}
	if c.Mail.Port != 25 || c.TimeZone != "Europe/Paris" || *c.People[1].Responder || len(c.Teams["dpo"].Members) != 1 || c.Store.ReplicaID != "007" || c.Mail.Username != "" {
		t.Errorf("got port %d, time zone %q, responder %v, members %q, replica %q, user %q", c.Mail.Port, c.TimeZone, *c.People[1].Responder, c.Teams["dpo"].Members, c.Store.ReplicaID, c.Mail.Username)
	}
	for name, text := range map[string]string{"empty": "", "comment": "# nothing\n", "null": "~\n", "document": "---\n"} {
		var errs Errors
		if c, err := parseText(text); !errors.As(err, &errs) || c.Listen != Defaults().Listen || !strings.Contains(err.Error(), "f:1:1: slack.bot_token: is missing") {
			t.Errorf("%s: got %v, want the errors of the missing keys", name, err)
		}
	}
}

// TestParse_NullKeepsDefaults checks keys without a value. Without one, routing has no
// rules, because the default rules apply only without the key.
func TestParse_NullKeepsDefaults(t *testing.T) {
	c, _ := parseText("listen:\nstorm: ~\nrouting:\nmail: {port: , tls: null}\nsources: {cloudtrail: {header: }}\n")
	want := Defaults()
	if c.Listen != want.Listen || c.Storm != want.Storm || c.Mail.Port != want.Mail.Port || c.Mail.TLS != want.Mail.TLS || c.Sources.CloudTrail.Header != "X-Api-Key" {
		t.Errorf("got %+v, want the defaults", c)
	}
	if len(c.Routing) > 0 {
		t.Errorf("got routing %v, want none", c.Routing)
	}
}

func TestLoad_LongFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<40); err != nil { // sparse
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path+":1:1: the file has more than 524288 bytes") {
		t.Errorf("got %v, want a refusal", err)
	}
}

// Problems are in the order of the file, of the keys of one line too.
func TestParse_ProblemsInTheOrderOfTheFile(t *testing.T) {
	_, err := Parse("f", []byte("people:\n  - {name: [a], email: {b: c}, slack: []}\nlisten: [y]\nlanguage: [z]\n"),
		nil, func(string) (string, bool) { return "", false })
	var problems Errors
	if !errors.As(err, &problems) {
		t.Fatalf("got error %v", err)
	}
	var got []string
	for _, p := range problems {
		if strings.HasPrefix(p.Place, "f:") && (strings.HasPrefix(p.Key, "people[0].") || !strings.Contains(p.Key, ".")) && p.Place != "f:1:1" {
			got = append(got, p.Key)
		}
	}
	if want := []string{"people[0].name", "people[0].email", "people[0].slack", "listen", "language"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
