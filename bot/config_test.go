package bot

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

const planted = "planted-secret-0123456789abcdef0" // 32 characters, as a routing key has

// exampleEnv sets the variables that the example names.
func exampleEnv(name string) (string, bool) {
	switch {
	case name == "SENTRY_DSN":
		return "https://planted-secret@sentry.example.com/1", true
	case strings.HasPrefix(name, "SLACK_"), strings.HasSuffix(name, "_KEY"), strings.HasSuffix(name, "_SECRET"), strings.HasSuffix(name, "_PASSWORD"), strings.HasSuffix(name, "_TOKEN"):
		return planted[:32], true
	}
	return "", false
}

// tree parses the example anew, for a test to break.
func tree(t *testing.T) map[string]any {
	t.Helper()
	var raw map[string]any
	if err := yaml.Unmarshal([]byte(Example), &raw); err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTheExampleIsValid(t *testing.T) {
	c, err := decode(tree(t), exampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Escalation.Steps[0].PagerDuty.RoutingKey.Reveal() != planted[:32] || c.People[1].Responder == nil || *c.People[1].Responder {
		t.Errorf("%+v", c.Escalation.Steps[0])
	}
}

// broken has, for every key of the configuration, a value that cannot stand
// there, and the key under which the fault is named where that is another.
var broken = []struct {
	path  string
	value any
	named string
}{
	{"listen", "8080", ""}, {"database", "mysql:x", ""}, {"keyset_file", "", ""}, {"control_socket", []any{}, ""}, {"replica_id", "", ""},
	{"time_zone", "Paris", ""}, {"language", "zz-notalang", ""},
	{"slack.bot_token", "", ""}, {"slack.announce_channel", "", ""}, {"slack.command", "incident", ""}, {"slack.api_url", "slack", ""},
	{"pagerduty.events_url", "pagerduty", ""},
	{"mail.host", "", ""}, {"mail.port", "smtp", ""}, {"mail.tls", "yes", ""}, {"mail.from", "tocsin", ""}, {"mail.postmortems.0", "everyone", "mail.postmortems[0]"},
	{"people.0.name", "", "people[0].name"}, {"people.0.email", "ada", "people[0].email"}, {"people.1.slack", "U01AAAAAAA1", "people[1].slack"},
	{"people.1.pagerduty", "PAAAAA1", "people[1].pagerduty"}, {"people.1.local", "ada", "people[1].local"}, {"people.1.oidc", "00000000-0000-0000-0000-000000000001", "people[1].oidc"},
	{"people.1.responder", "perhaps", "people[1].responder"},
	{"departments.engineering.head", "nobody@example.com", ""}, {"departments.legal.members", []any{"esra@example.com"}, ""},
	{"departments.legal.members.0", "nobody", "departments.legal.members[0]"}, {"departments.engineering.slack_group", []any{}, ""},
	{"departments.security.deputies.0.person", "nobody", "departments.security.deputies[0].person"},
	{"departments.security.deputies.0.from", "tomorrow", "departments.security.deputies[0].from"},
	{"departments.security.deputies.0.to", "2026-12-01", "departments.security.deputies[0].to"},
	{"departments.communications", nil, ""}, {"departments.payments", map[string]any{"members": []any{"ines@example.com"}}, ""},
	{"teams.dpo.head", "nobody", ""}, {"teams.dpo.members.0", "nobody", "teams.dpo.members[0]"}, {"teams.legal", map[string]any{"members": []any{"ines@example.com"}}, ""},
	{"escalation.escalate_after", "5", ""}, {"escalation.ack_timeout", "1s", ""}, {"escalation.no_page_from", "sev1", ""}, {"escalation.steps", []any{}, ""},
	{"escalation.steps.0.pagerduty.routing_key", "short", "escalation.steps[0].pagerduty.routing_key"}, {"escalation.steps.1.mail.to", []any{}, "escalation.steps[1].mail.to"},
	{"escalation.steps.1.mail.to.0", "x", "escalation.steps[1].mail.to[0]"}, {"escalation.steps.2.slack_group", "", "escalation.steps[2]"},
	{"sources.sentry.client_secrets", []any{""}, "sources.sentry.client_secrets[0]"}, {"sources.cloudtrail.api_keys", []any{""}, "sources.cloudtrail.api_keys[0]"},
	{"sources.cloudtrail.header", "X Api", ""}, {"sources.trusted_proxies.0", "proxy", "sources.trusted_proxies"},
	{"sources.sentry.limits.off", "perhaps", ""}, {"sources.sentry.limits.networks.0", "office", "sources.sentry.limits.networks"}, {"sources.sentry.limits.max_body", -1, ""},
	{"sources.sentry.limits.rate", -1, ""}, {"sources.sentry.limits.burst", -1, ""}, {"sources.sentry.limits.max_waiting", -1, ""},
	{"sources.sns.topics.0", "topic", "sources.sns.topics"}, {"sources.sns.allow_v1", "perhaps", ""},
	{"sources.trail.queue_url", "queue", ""}, {"sources.trail.region", "europe", "sources.trail"}, {"sources.trail.endpoint", "here", "sources.trail"}, {"sources.trail.pollers", -1, "sources.trail"},
	{"sources.alertmanager.tokens.0", "short", "sources.alertmanager.tokens[0]"}, {"sources.alertmanager.basic.0.username", "", "sources.alertmanager.basic[0]"},
	{"sources.alertmanager.basic.0.password", "short", "sources.alertmanager.basic[0]"},
	{"sources.generic.0.name", "A B", "sources.generic[0]"}, {"sources.generic.1.name", "scanner", "sources.generic[1].name"}, {"sources.generic.0.name", "sentry", "sources.generic[0].name"}, {"sources.generic.0.tokens.0", "short", "sources.generic[0]"}, {"sources.generic.1.hmac.header", "a b", "sources.generic[1]"},
	{"sources.generic.1.hmac.secrets.0", "short", "sources.generic[1]"}, {"sources.generic.1.hmac.prefix", []any{}, "sources.generic[1]"}, {"sources.generic.0.headers", "no list: [", "sources.generic[0]"},
	{"sources.generic.0.delivery_header", "a b", "sources.generic[0]"}, {"sources.generic.0.mapping.title", "item.", "sources.generic[0]"}, {"sources.generic.0.mapping.titel", "item.title", "sources.generic[0].mapping.titel"},
	{"sources.generic.0.tags.tool", "body.", "sources.generic[0]"}, {"sources.hackerone.secrets.0", "short", "sources.hackerone.secrets[0]"},
	{"sources.report.form.company", "", "sources.report.form"}, {"sources.report.form.policy", "javascript:x", "sources.report.form"}, {"sources.report.form.contact", "javascript:x", "sources.report.form"},
	{"sources.report.form.trusted_origins.0", "example", "sources.report.form"}, {"sources.report.form.acknowledge", "perhaps", "sources.report.form"},
	{"mail", nil, "sources.report.form.acknowledge"},
	{"sources.report.security_txt.contacts", []any{}, "sources.report.security_txt"}, {"sources.report.security_txt.expires", "soon", ""}, {"sources.report.security_txt.encryption.0", "key", "sources.report.security_txt"},
	{"sources.report.security_txt.policy.0", "policy", "sources.report.security_txt"}, {"sources.report.security_txt.acknowledgments.0", "x", "sources.report.security_txt"},
	{"sources.report.security_txt.languages.0", "zz-notalang", "sources.report.security_txt"}, {"sources.report.security_txt.canonical.0", "x", "sources.report.security_txt"}, {"sources.report.security_txt.hiring.0", "x", "sources.report.security_txt"},
	{"sources.report.mailbox.address", "imap", "sources.report.mailbox"}, {"sources.report.mailbox.tls", "yes", "sources.report.mailbox"}, {"sources.report.mailbox.username", "", "sources.report.mailbox"},
	{"sources.report.mailbox.password", "", "sources.report.mailbox"}, {"sources.report.mailbox.folder", []any{}, "sources.report.mailbox"}, {"sources.report.mailbox.poll", "often", "sources.report.mailbox"},
	{"sources.report.mailbox.max_message", 1, "sources.report.mailbox"}, {"sources.report.mailbox.aliases", map[string]any{"a": 1}, "sources.report.mailbox"}, {"sources.report.mailbox.acknowledge", "perhaps", "sources.report.mailbox"},
	{"sources.report.mailbox.aliases.0", "security", "sources.report.mailbox.aliases[0]"}, {"sources.report.mailbox.aliases.0", "Security <security@example.com>", "sources.report.mailbox.aliases[0]"},
	{"sources.report.pgp_keys", []any{map[string]any{"file": "/nowhere", "passphrase": "x"}}, ""}, {"sources.report.pgp_signers", []any{"/nowhere"}, "sources.report"}, {"sources.report.auth_serv_id", []any{}, ""}, {"sources.pagerduty.webhook_secrets", []any{""}, "sources.pagerduty.webhook_secrets[0]"},
	{"detection.rules", []any{"/nowhere"}, ""}, {"detection.disable", []any{"root-usd"}, ""}, {"detection.enable", []any{"root-usd"}, ""},
	{"detection.levels", map[string]any{"root-used": "grave"}, "detection.levels.root-used"}, {"detection.placeholders", []any{"ada"}, ""},
	{"routing.0.when", "source ==", "routing[0].when"}, {"routing.0.open", "sev9", "routing[0].open"}, {"routing.0.playbook", "leaked", "routing[0].playbook"},
	{"routing.0.attach", true, "routing[0].when"}, {"routing.0.watch", true, "routing[0].when"}, {"routing.0.drop", "why", "routing[0].when"},
	{"routing.0.recurrence_window", "900h", "routing[0].when"}, {"storm.incidents", -1, ""}, {"storm.per", "1ms", ""},
	{"retention.alerts", "30d", ""}, {"retention.inbox", "364d", ""}, {"retention.audit", "forever", ""},
	{"playbooks.folders", []any{"/nowhere"}, ""}, {"sign_off.submitter_may_sign", "perhaps", ""}, {"review.agenda", "mondays", ""},
	{"redaction.keep_emails", map[string]any{"a": 1}, ""}, {"redaction.literals", map[string]any{"a": 1}, ""},
	{"telemetry.sentry_dsn", "sentry", ""}, {"telemetry.environment", []any{}, ""}, {"telemetry.log_format", "xml", ""}, {"telemetry.log_level", "loud", ""},
	{"slack.bot_tokn", "x", ""}, {"listn", "x", ""}, {"people.0.e-mail", "x", "people[0].e-mail"},
}

// set puts a value at a dotted path; numbers are places in lists.
func set(t *testing.T, at any, path []string, value any) {
	t.Helper()
	switch at := at.(type) {
	case map[string]any:
		if len(path) == 1 {
			if value == nil {
				delete(at, path[0])
			} else {
				at[path[0]] = value
			}
			return
		}
		set(t, at[path[0]], path[1:], value)
	case []any:
		n, err := strconv.Atoi(path[0])
		if err != nil || n >= len(at) {
			t.Fatalf("no place %v", path)
		}
		if len(path) == 1 {
			at[n] = value
			return
		}
		set(t, at[n], path[1:], value)
	default:
		t.Fatalf("no path %v", path)
	}
}

func TestEveryKeyBrokenInTurn(t *testing.T) {
	for _, b := range broken {
		raw := tree(t)
		set(t, raw, strings.Split(b.path, "."), b.value)
		named := b.named
		if named == "" {
			named = b.path
		}
		_, err := decode(raw, exampleEnv)
		var faults ConfigErrors
		if !errors.As(err, &faults) {
			t.Errorf("%s = %v: no fault (%v)", b.path, b.value, err)
			continue
		}
		if !slices.ContainsFunc(faults, func(f ConfigError) bool { return strings.HasPrefix(f.Key, named) && f.Fix != "" }) {
			t.Errorf("%s = %v: named otherwise: %v", b.path, b.value, faults)
		}
		if strings.Contains(err.Error(), planted[:20]) {
			t.Errorf("%s: the message shows a secret: %v", b.path, err)
		}
	}
}

// A rule of which several things are wrong is told all of them, each once.
func TestARuleWrongInSeveralWays(t *testing.T) {
	raw := tree(t)
	rules := raw["routing"].([]any)
	n := len(rules) - 1
	rules[n] = map[string]any{"when": "source ==", "open": "sev9", "playbook": "nope"}
	delete(raw["departments"].(map[string]any), "legal")
	_, err := decode(raw, exampleEnv)
	var faults ConfigErrors
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	at := fmt.Sprintf("routing[%d]", n)
	for _, want := range []string{at + ".when", at + ".open", at + ".playbook", "departments.legal"} {
		if !slices.ContainsFunc(faults, func(f ConfigError) bool { return f.Key == want }) {
			t.Errorf("%s is not named:\n%v", want, err)
		}
	}
	for _, f := range faults {
		if strings.Contains(f.Fix, "routing[") || strings.HasPrefix(f.Key, "teams.") || f.Key == at+".when" && strings.Contains(f.Fix, "nope") {
			t.Errorf("%s: %s", f.Key, f.Fix)
		}
	}
}

func TestEveryKeyBrokenAtOnce(t *testing.T) {
	raw := tree(t)
	want := 0
	for _, b := range broken {
		if strings.Count(b.path, ".") > 1 || b.value == nil || strings.HasPrefix(b.path, "people.") || strings.HasPrefix(b.path, "departments.") {
			continue // their parents are broken as a whole already, or would hide them
		}
		set(t, raw, strings.Split(b.path, "."), b.value)
		want++
	}
	_, err := decode(raw, exampleEnv)
	var faults ConfigErrors
	if !errors.As(err, &faults) || len(faults) < want {
		t.Errorf("%d keys are broken, and %d faults are named:\n%v", want, len(faults), err)
	}
	for _, b := range broken[:7] {
		if !slices.ContainsFunc(faults, func(f ConfigError) bool { return f.Key == b.path }) {
			t.Errorf("%s is not among them", b.path)
		}
	}
}

// TestTheTableHasEveryKey fails when a key is added and nobody breaks it.
func TestTheTableHasEveryKey(t *testing.T) {
	var missing []string
	var walk func(rt reflect.Type, path string)
	walk = func(rt reflect.Type, path string) {
		switch rt.Kind() {
		case reflect.Pointer, reflect.Slice:
			walk(rt.Elem(), path)
			return
		case reflect.Map:
			walk(rt.Elem(), path)
			return
		case reflect.Struct:
			if hasKeys(rt) {
				for n := range rt.NumField() {
					walk(rt.Field(n).Type, strings.TrimPrefix(path+"."+rt.Field(n).Tag.Get("koanf"), "."))
				}
				return
			}
		}
		last := path[strings.LastIndex(path, ".")+1:]
		top := strings.SplitN(path, ".", 2)[0]
		if !slices.ContainsFunc(broken, func(b struct {
			path  string
			value any
			named string
		}) bool {
			parts := strings.Split(b.path, ".")
			if len(parts) > 1 && strings.Contains(path, ".limits.") {
				return slices.Contains(parts, "limits") && slices.Contains(parts, last) // the same for every source
			}
			return parts[0] == top && slices.Contains(parts, last)
		}) {
			missing = append(missing, path)
		}
	}
	walk(reflect.TypeFor[Config](), "")
	excused := []string{"slack.app_token", "slack.signing_secret", "mail.username", "mail.password", "teams.slack_group", "teams.deputies.person", "teams.deputies.from", "teams.deputies.to", "sources.report.pgp_keys.file", "sources.report.pgp_keys.passphrase"}
	for _, path := range missing {
		if !slices.Contains(excused, path) {
			t.Errorf("%s is broken nowhere", path)
		}
	}
}

// What is said about a key names the key itself, and how it is written.
func TestFaultsSayHowAKeyIsWritten(t *testing.T) {
	for _, tt := range []struct {
		path  string
		value any
		want  string
	}{
		{"sources.sentry.limits.max_body", "2KB", "sources.sentry.limits.max_body: has the wrong type or form: write a whole number"},
		{"sources.sentry.limits.rate", "many", "sources.sentry.limits.rate: has the wrong type or form: write a number"},
		{"sources.sentry.limits.off", "perhaps", "sources.sentry.limits.off: has the wrong type or form: write true or false"},
		{"sources.sentry.limits.burst", 3, "sources.sentry.limits.burst: limits nothing without a rate beside it"},
		{"routing.0.recurrence_window", "24 hours", "routing[0].recurrence_window: has the wrong type or form: write a duration such as 24h or 400d"},
		{"routing.0.when", `level == "low" || !(source in ["sentry", "sauce"])`, `routing[0].when: "sauce" is no source; there are alertmanager, cloudtrail, `},
		{"routing.0.when", " true ", "routing[1].when: is never asked: routing[0] is true for every alert"},
		{"storm.per", "24 hours", "storm.per: has the wrong type or form: write a duration such as 5m or 24h"},
		{"retention.alerts", "a year", "retention.alerts: has the wrong type or form: write a duration such as 24h or 400d"},
		{"departments.security.deputies.0.until", "soon", "departments.security.deputies[0].until: "},
		{"departments.security.deputies.0.to", "soon", "departments.security.deputies[0].to: has the wrong type or form: write a day such as 2026-12-20"},
		{"people.0.responder", "perhaps", "people[0].responder: has the wrong type or form: write true or false"},
		{"slack.bot_token", map[string]any{"a": 1}, "slack.bot_token: has the wrong type or form: write one value"},
		{"sources.generic.0.tokens.0", "short", "sources.generic[0].tokens[0]: is too short for a secret"},
		{"sources.generic.1.hmac.secrets.0", "short", "sources.generic[1].hmac.secrets[0]: is too short for a secret"},
		{"sources.generic.0.delivery_header", "a b", `sources.generic[0].delivery_header: "a b" is no name of a header`},
		{"sources.generic.0.headers.0", "a b", `sources.generic[0].headers[0]: "a b" is no name of a header`},
		{"sources.generic.0.mapping.titel", "item.title", "sources.generic[0].mapping.titel: is no field of an alert; the nearest is title"},
		{"sources.generic.0.mapping.colour", "item.title", "sources.generic[0].mapping.colour: is no field of an alert; there are account, address, at,"},
		{"sources.generic.0.mapping.title", "itm.title", "sources.generic[0].mapping.title: unknown name itm"},
		{"sources.generic.0.mapping.title", `header["X-Other"]`, "sources.generic[0].mapping.title: reads header X-Other, which is not stored: add it to headers"},
	} {
		raw := tree(t)
		set(t, raw, strings.Split(tt.path, "."), tt.value)
		if _, err := decode(raw, exampleEnv); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s = %v: %v\nwant %s", tt.path, tt.value, err, tt.want)
		}
	}
}

// Faults in several places of one source are all named at once.
func TestASourceWrongInSeveralWays(t *testing.T) {
	raw := tree(t)
	for path, value := range map[string]any{"tokens.0": "short", "mapping.title": "itm.title", "mapping.level": "item.", "tags.tool": "body."} {
		set(t, raw, strings.Split("sources.generic.0."+path, "."), value)
	}
	_, err := decode(raw, exampleEnv)
	for _, key := range []string{"tokens[0]", "mapping.title", "mapping.level", "mapping.tags.tool"} {
		if err == nil || !strings.Contains(err.Error(), "sources.generic[0]."+key+": ") {
			t.Errorf("%s is not named:\n%v", key, err)
		}
	}
	if err != nil && !strings.HasPrefix(err.Error(), "the configuration has 4 faults:") {
		t.Error(err)
	}
}

func TestUnknownKeysNameTheNearest(t *testing.T) {
	raw := tree(t)
	set(t, raw, []string{"slack", "bot_tokn"}, "x")
	_, err := decode(raw, exampleEnv)
	if err == nil || !strings.Contains(err.Error(), "slack.bot_tokn: there is no such key; the nearest is bot_token") {
		t.Error(err)
	}
}

func TestAVariableThatIsNotSet(t *testing.T) {
	_, err := decode(tree(t), func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), "slack.bot_token: the environment variable SLACK_BOT_TOKEN is not set") {
		t.Error(err)
	}
}

func TestLoadTakesOverridesFromTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	if err := os.WriteFile(path, []byte(Example), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range variable.FindAllStringSubmatch(Example, -1) {
		value, _ := exampleEnv(m[1])
		t.Setenv(m[1], value)
	}
	t.Setenv("TOCSIN_DATABASE", "sqlite:elsewhere.db")
	t.Setenv("TOCSIN_SLACK__ANNOUNCE_CHANNEL", "security")
	t.Setenv("TOCSIN_TEST_POSTGRES", "is no setting")
	c, err := Load(path)
	if err != nil || c.Database != "sqlite:elsewhere.db" || c.Slack.AnnounceChannel != "security" {
		t.Errorf("%v %q %q", err, c.Database, c.Slack.AnnounceChannel)
	}
}

// A variable that sets nothing is a fault: an override that is misspelt would
// leave the file's value in force, and nobody would know.
func TestLoadRefusesVariablesThatSetNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	own := strings.Replace(Example, "${SLACK_BOT_TOKEN}", "${TOCSIN_OWN_NAME}", 1)
	if err := os.WriteFile(path, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range variable.FindAllStringSubmatch(own, -1) {
		value, ok := exampleEnv(m[1])
		if !ok {
			value, _ = exampleEnv("SLACK_BOT_TOKEN")
		}
		t.Setenv(m[1], value)
	}
	for name, value := range map[string]string{"TOCSIN_PORT": "tcp://10.0.0.1:8080", "TOCSIN_SERVICE_HOST": "10.0.0.1", "TOCSIN_SERVICE_PORT_HTTP": "8080",
		"TOCSIN_PORT_8080_TCP_ADDR": "10.0.0.1", "TOCSIN_DB_PORT": "tcp://10.0.0.1:5432", "TOCSIN_TEST_KILLS": "3", "TOCSIN_TEST_FLOOD": "{}"} {
		t.Setenv(name, value)
	}
	if _, err := Load(path); err != nil {
		t.Fatalf("variables that are none of ours: %v", err)
	}
	for name, near := range map[string]string{"TOCSIN_DATABSE": "TOCSIN_DATABASE", "TOCSIN_SLACK_BOT_TOKEN": "TOCSIN_SLACK__BOT_TOKEN", "TOCSIN_PORT": "two underscores for a dot",
		"TOCSIN_SOURCES__REPORT__MAILBOX__PASWORD": "TOCSIN_SOURCES__REPORT__MAILBOX__PASSWORD", "TOCSIN_PEOPLE": "two underscores for a dot", "TOCSIN_": "two underscores",
		"TOCSIN_KILLS": "two underscores for a dot", "TOCSIN_TESTS": "two underscores for a dot"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "8025-secret")
			_, err := Load(path)
			var faults ConfigErrors
			if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Key != name || !strings.Contains(faults[0].Fix, near) || strings.Contains(err.Error(), "8025-secret") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAConfigurationIsNeverPrintedWithItsSecrets(t *testing.T) {
	c, err := decode(tree(t), exampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	c.PagerDuty, c.Telemetry.SentryDSN = PagerDuty{}, secret.New(planted)
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "pointer", &c)
	for how, text := range map[string]string{"%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v", &c), "%v": fmt.Sprint(c.Escalation.Steps), "yaml": string(asYAML), "slog": log.String()} {
		if strings.Contains(text, planted[:20]) {
			t.Errorf("%s shows a secret", how)
		}
	}
}

func TestDirectory(t *testing.T) {
	c, err := decode(tree(t), exampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	d := c.Directory(map[string][]string{"S01AAAAAAA1": {"U01AAAAAAA3", "U0STRANGER1"}})
	at := func(door incident.Provider, id string) incident.PersonID {
		p, ok := d.Resolve(incident.Identity{Provider: door, ID: id})
		if !ok {
			t.Errorf("nobody behind %s %s", door, id)
		}
		return p.ID
	}
	ada := at(incident.ProviderSlack, "U01AAAAAAA1")
	if ada != at(incident.ProviderMail, "ADA@example.com") || ada != at(incident.ProviderPagerDuty, "PAAAAA1") || ada != at(incident.ProviderLocal, "ada") {
		t.Error("one human through several doors is several people")
	}
	if !d.Member(at(incident.ProviderSlack, "U0STRANGER1"), incident.Engineering) || !d.Member(at(incident.ProviderSlack, "U01AAAAAAA3"), incident.Engineering) {
		t.Error("the user group's members are not in the department")
	}
	from, _ := c.Departments["security"].Deputies[0], 0
	if d.Represents(ada, incident.Security, from.From.AddDate(0, 0, -1)) || !d.Represents(ada, incident.Security, from.To.Add(23*60*60*1e9)) || d.Represents(ada, incident.Security, from.To.AddDate(0, 0, 1)) {
		t.Error("the deputy's dates do not hold")
	}
	bruno, _ := d.Person(at(incident.ProviderSlack, "U01AAAAAAA2"))
	chloe, _ := d.Person(at(incident.ProviderSlack, "U01AAAAAAA3"))
	esra, _ := d.Person(at(incident.ProviderSlack, "U01AAAAAAA5"))
	if bruno.Responder || !chloe.Responder || esra.Responder {
		t.Error("the wrong people are responders")
	}
	if strings.Contains(string(ada), "ada") {
		t.Errorf("the id %s tells a name", ada)
	}
}
