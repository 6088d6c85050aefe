package config

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
	"tocsin/bot/setting"
)

const canary = "canary-secret-0123456789abcdef01" // 32 characters, the length of a routing key

// exampleEnv returns the values of the variables in the example.
func exampleEnv(name string) (string, bool) {
	switch {
	case name == "SENTRY_DSN":
		return "https://canary-secret@sentry.example.com/1", true
	case strings.HasPrefix(name, "SLACK_"), strings.HasSuffix(name, "_KEY"), strings.HasSuffix(name, "_SECRET"), strings.HasSuffix(name, "_PASSWORD"), strings.HasSuffix(name, "_TOKEN"):
		return canary[:32], true
	}
	return "", false
}

// exampleTree returns a new tree of the example, which the test may change.
func exampleTree(t *testing.T) map[string]any {
	t.Helper()
	var raw map[string]any
	if err := yaml.Unmarshal([]byte(Example), &raw); err != nil {
		t.Fatal(err)
	}
	return raw
}

// decode parses a tree as a file with the name tocsin.yaml.
func decode(raw map[string]any, lookup func(string) (string, bool)) (Config, error) {
	src, err := yaml.Marshal(raw)
	if err != nil {
		return Config{}, err
	}
	return Parse("tocsin.yaml", src, nil, lookup)
}

// TestExample_NamesNoPathOfAnotherMachine checks that a fresh machine needs nothing but an
// empty folder: every path is relative and has no folder.
func TestExample_NamesNoPathOfAnotherMachine(t *testing.T) {
	root, err := parseTree([]byte(Example))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	var walk func(n *node, key string)
	walk = func(n *node, key string) {
		for _, e := range n.keys {
			walk(e.value, setting.Join(key, e.name))
		}
		for i, item := range n.items {
			walk(item, setting.Index(key, i))
		}
		path, isDatabase := strings.CutPrefix(n.text, "sqlite:")
		last := key[strings.LastIndex(key, ".")+1:]
		if n.kind == isText && (isDatabase || strings.HasPrefix(path, "/") && key != "slack.command" || strings.HasSuffix(last, "file") || strings.HasSuffix(last, "socket") ||
			strings.HasPrefix(last, "folders[") || strings.HasPrefix(last, "rules[") || strings.HasPrefix(last, "pgp_signers[")) {
			files[key] = path
		}
	}
	walk(root, "")
	for key, path := range files {
		if strings.Contains(path, "/") {
			t.Errorf("%s: got %s, want a path that exists or that Tocsin creates in an empty folder", key, path)
		}
	}
	if want := []string{"control_socket", "database", "keyset_file", "secrets_file"}; !slices.Equal(slices.Sorted(maps.Keys(files)), want) {
		t.Errorf("got paths %v, want those of %v", files, want)
	}
}

func TestExample_IsValid(t *testing.T) {
	c, err := decode(exampleTree(t), exampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Escalation.Steps[0].PagerDuty.RoutingKey.Reveal() != canary[:32] || c.People[1].Responder == nil || *c.People[1].Responder {
		t.Errorf("got step %+v and person %+v", c.Escalation.Steps[0], c.People[1])
	}
}

// brokenValues has an invalid value for every key of the configuration. wantKey is
// the key of the error if it is not path.
var brokenValues = []struct {
	path    string
	value   any
	wantKey string
}{
	{"listen", "8080", ""}, {"public_url", "tocsin.example.com", ""}, {"conference_url", "https://meet.example.com/{incident}", ""}, {"database", "mysql:x", ""}, {"keyset_file", "", ""}, {"secrets_file", "/nowhere/secrets.env", ""}, {"control_socket", []any{}, ""}, {"replica_id", "", ""},
	{"serve.0", "metrics", "serve[0]"}, {"tls.cert", "/nowhere/cert.pem", "tls"}, {"tls.key", "/nowhere/key.pem", "tls"},
	{"sign_in.issuers.0.name", "passkey", "sign_in.issuers[0].name"}, {"sign_in.issuers.0.issuer", "http://login.example.com", "sign_in.issuers[0].issuer"}, {"sign_in.issuers.0.client_id", "", "sign_in.issuers[0].client_id"},
	{"sign_in.issuers.0.client_secret", []any{}, "sign_in.issuers[0].client_secret"}, {"sign_in.issuers.0.second_factor.claim", "mfa", "sign_in.issuers[0].second_factor.claim"}, {"sign_in.issuers.0.second_factor.values", []any{}, "sign_in.issuers[0].second_factor.values"},
	{"sign_in.issuers.0.max_age", "-1s", "sign_in.issuers[0].max_age"}, {"sign_in.issuers.0.provider", "Slack!", "sign_in.issuers[0].provider"}, {"telemetry.listen", "9464", ""},
	{"time_zone", "Paris", ""}, {"language", "zz-notalang", ""},
	{"slack.bot_token", "", ""}, {"slack.announce_channel", "", ""}, {"slack.command", "incident", ""}, {"slack.api_url", "slack", ""},
	{"pagerduty.events_url", "pagerduty", ""}, {"pagerduty.api_url", "pagerduty", ""}, {"pagerduty.api_key", "", ""}, {"pagerduty.from", "tocsin", ""}, {"pagerduty.service", "security", ""},
	{"mail.host", "", ""}, {"mail.port", "smtp", ""}, {"mail.tls", "yes", ""}, {"mail.from", "tocsin", ""}, {"mail.postmortems.0", "everyone", "mail.postmortems[0]"},
	{"people.0.name", "", "people[0].name"}, {"people.0.email", "ada", "people[0].email"}, {"people.1.slack", "U01AAAAAAA1", "people[1].slack"},
	{"people.1.pagerduty", "PAAAAA1", "people[1].pagerduty"}, {"people.1.local", "ada", "people[1].local"}, {"people.1.oidc", "00000000-0000-0000-0000-000000000001", "people[1].oidc"},
	{"people.1.responder", "perhaps", "people[1].responder"}, {"people.1.name", "OKÁFOR,  ada", "people[1].name"}, {"people.1.local", "ADA@example.com", "people[1].local"},
	{"people.1.email", "ADA@Example.com", "people[1].email"},
	{"departments.engineering.head", "nobody@example.com", ""}, {"departments.legal.members", []any{"esra@example.com"}, ""},
	{"departments.legal.members.0", "nobody", "departments.legal.members[0]"}, {"departments.engineering.slack_group", []any{}, ""},
	{"departments.security.deputies.0.person", "nobody", "departments.security.deputies[0].person"},
	{"departments.security.deputies.0.from", "tomorrow", "departments.security.deputies[0].from"},
	{"departments.security.deputies.0.to", "2026-12-01", "departments.security.deputies[0].to"},
	{"departments.communications", nil, ""}, {"departments.payments", map[string]any{"members": []any{"ines@example.com"}}, ""},
	{"teams.dpo.head", "nobody", ""}, {"teams.dpo.members.0", "nobody", "teams.dpo.members[0]"}, {"teams.legal", map[string]any{"members": []any{"ines@example.com"}}, ""},
	{"escalation.escalate_after", "5", ""}, {"escalation.ack_timeout", "1s", ""}, {"escalation.no_page_from", "sev1", ""}, {"escalation.page_test.at", "Tuesday 10", ""}, {"escalation.steps", []any{}, ""},
	{"escalation.steps.0.pagerduty.routing_key", "short", "escalation.steps[0].pagerduty.routing_key"}, {"escalation.steps.1.mail.to", []any{}, "escalation.steps[1].mail.to"},
	{"escalation.steps.1.mail.to.0", "x", "escalation.steps[1].mail.to[0]"}, {"escalation.steps.2.slack_group", "", "escalation.steps[2]"},
	{"sources.sentry.client_secrets", []any{""}, "sources.sentry.client_secrets[0]"}, {"sources.cloudtrail.api_keys", []any{""}, "sources.cloudtrail.api_keys[0]"},
	{"sources.cloudtrail.header", "X Api", ""}, {"sources.trusted_proxies.0", "proxy", "sources.trusted_proxies"},
	{"sources.sentry.limits.off", "perhaps", ""}, {"sources.sentry.limits.networks.0", "office", "sources.sentry.limits.networks"}, {"sources.sentry.limits.max_body", -1, ""},
	{"sources.sentry.usual_severity", "sev9", ""}, {"sources.sentry.expected_interval", "1s", ""},
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
	{"detection.levels", map[string]any{"root-used": "dire"}, "detection.levels.root-used"}, {"detection.placeholders", []any{"ada"}, ""},
	{"routing.0.when", "source ==", "routing[0].when"}, {"routing.0.open", "sev9", "routing[0].open"}, {"routing.0.playbook", "leaked", "routing[0].playbook"},
	{"routing.0.attach", true, "routing[0].when"}, {"routing.0.watch", true, "routing[0].when"}, {"routing.0.drop", "why", "routing[0].when"},
	{"routing.0.recurrence_window", "900h", "routing[0].when"}, {"storm.incidents", -1, ""}, {"storm.per", "1ms", ""},
	{"retention.alerts", "30d", ""}, {"retention.inbox", "364d", ""}, {"retention.audit", "forever", ""},
	{"backup.every", "1s", ""}, {"backup.recipients", []any{}, ""}, {"backup.recipients.0", "AGE-SECRET-KEY-1", "backup.recipients[0]"}, {"backup.to", []any{}, ""}, {"backup.to.0", "dir:backup", "backup.to[0]"},
	{"backup.to.0", "s3://tocsin-backups/production/", "backup.to[1]"}, {"backup.to.1", "s3://tocsin-backups?lock=strong", "backup.to[1]"}, {"backup.to.1", "s3://tocsin-backups?regoin=x", "backup.to[1]"}, {"backup.to.1", "s3://tocsin-backups?endpoint=x", "backup.to[1]"},
	{"backup.copies_required", 3, ""}, {"backup.copies_required", 0, ""}, {"backup.keep.hourly", "1h", ""}, {"backup.keep.daily", "0d", ""}, {"backup.keep.monthly", "forever", ""}, {"backup.spool", "spool", ""},
	{"backup.verify.at", "4 o'clock", ""}, {"backup.verify.stale_after", "1s", ""}, {"backup.verify.identity", []any{}, ""},
	{"notary.channel", "perhaps", ""}, {"notary.mail.0", "audit", "notary.mail[0]"}, {"notary.syslog", "tls://logs.example.com:6514", ""},
	{"updates.first_within.sev1", "soon", ""}, {"updates.first_within.sev2", "soon", ""}, {"updates.first_within.sev3", "soon", ""}, {"updates.first_within.sev4", "soon", ""},
	{"updates.audiences.0.name", "the whole company", "updates.audiences[0].name"}, {"updates.audiences.1.name", "company", "updates.audiences[1].name"}, {"updates.audiences.0.slack_channel", "", "updates.audiences[0].slack_channel"},
	{"updates.audiences.1.mail.0", "status", "updates.audiences[1].mail[0]"}, {"updates.audiences.0.restricted", "perhaps", "updates.audiences[0].restricted"},
	{"updates.statements.0.name", "a holding statement", "updates.statements[0].name"}, {"updates.statements.0.playbook", []any{}, "updates.statements[0].playbook"}, {"updates.statements.0.text", "{name} is hacked", "updates.statements[0].text"},
	{"updates.statements.0.text", "{text}", "updates.statements[0].approved_by"}, {"updates.statements.0.approved_by", "ada@example.com", "updates.statements[0].approved_by"},
	{"playbooks.folders", []any{"/nowhere"}, ""}, {"sign_off.require", "", ""}, {"sign_off.require", "all", ""}, {"sign_off.sensitive", "some", ""}, {"sign_off.submitter_may_sign", "perhaps", ""}, {"sign_off.deputy_after", "1s", ""}, {"sign_off.head_after", "1s", ""}, {"sign_off.attestations", map[string]any{"payroll": map[string]any{"version": "1", "text": "x"}}, "sign_off.attestations.payroll"},
	{"review.agenda", "mondays", ""},
	{"redaction.keep_emails", map[string]any{"a": 1}, ""}, {"redaction.literals", map[string]any{"a": 1}, ""},
	{"telemetry.sentry_dsn", "sentry", ""}, {"telemetry.environment", []any{}, ""}, {"telemetry.log_format", "xml", ""}, {"telemetry.log_level", "loud", ""}, {"telemetry.heartbeat_url", "hc-ping", ""}, {"telemetry.heartbeat_interval", "1s", ""}, {"telemetry.heartbeat_method", "PUT", ""},
	{"control_socket_group", []any{}, ""}, {"administrators", []any{"65534"}, "administrators[0]"}, {"people.1.local", "65532", "people[1].local"},
	{"slack.bot_tokn", "x", ""}, {"listn", "x", ""}, {"people.0.e-mail", "x", "people[0].e-mail"},
}

// setPath sets the value at a dotted path. Numbers are indexes of lists.
func setPath(t *testing.T, at any, path []string, value any) {
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
		setPath(t, at[path[0]], path[1:], value)
	case []any:
		n, err := strconv.Atoi(path[0])
		if err != nil || n >= len(at) {
			t.Fatalf("got path %v, want an existing index", path)
		}
		if len(path) == 1 {
			at[n] = value
			return
		}
		setPath(t, at[n], path[1:], value)
	default:
		t.Fatalf("got path %v, want an existing path", path)
	}
}

func TestDecode_ReportsEachBrokenKey(t *testing.T) {
	for _, b := range brokenValues {
		raw := exampleTree(t)
		setPath(t, raw, strings.Split(b.path, "."), b.value)
		wantKey := b.wantKey
		if wantKey == "" {
			wantKey = b.path
		}
		_, err := decode(raw, exampleEnv)
		var problems Errors
		if !errors.As(err, &problems) {
			t.Errorf("%s = %v: got %v, want Errors", b.path, b.value, err)
			continue
		}
		if !slices.ContainsFunc(problems, func(f Error) bool { return strings.HasPrefix(f.Key, wantKey) && f.Fix != "" }) {
			t.Errorf("%s = %v: got %v, want an error for %s", b.path, b.value, problems, wantKey)
		}
		if strings.Contains(err.Error(), canary[:20]) {
			t.Errorf("%s: the error contains a secret: %v", b.path, err)
		}
	}
}

func TestDecode_ReportsAllErrorsOfARule(t *testing.T) {
	raw := exampleTree(t)
	rules := raw["routing"].([]any)
	n := len(rules) - 1
	rules[n] = map[string]any{"when": "source ==", "open": "sev9", "playbook": "nope"}
	delete(raw["departments"].(map[string]any), "legal")
	_, err := decode(raw, exampleEnv)
	var problems Errors
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	at := fmt.Sprintf("routing[%d]", n)
	for _, want := range []string{at + ".when", at + ".open", at + ".playbook", "departments.legal"} {
		if !slices.ContainsFunc(problems, func(f Error) bool { return f.Key == want }) {
			t.Errorf("got no error for %s:\n%v", want, err)
		}
	}
	for _, f := range problems {
		if strings.Contains(f.Fix, "routing[") || strings.HasPrefix(f.Key, "teams.") || f.Key == at+".when" && strings.Contains(f.Fix, "nope") {
			t.Errorf("got unexpected error %s: %s", f.Key, f.Fix)
		}
	}
}

func TestDecode_ReportsAllBrokenKeysAtOnce(t *testing.T) {
	raw := exampleTree(t)
	want := 0
	for _, b := range brokenValues {
		if strings.Count(b.path, ".") > 1 || b.value == nil || strings.HasPrefix(b.path, "people.") || strings.HasPrefix(b.path, "departments.") {
			continue // another broken value replaces or hides the parent
		}
		setPath(t, raw, strings.Split(b.path, "."), b.value)
		want++
	}
	_, err := decode(raw, exampleEnv)
	var problems Errors
	if !errors.As(err, &problems) || len(problems) < want {
		t.Errorf("got %d errors, want at least %d:\n%v", len(problems), want, err)
	}
	for _, b := range brokenValues[:7] {
		if !slices.ContainsFunc(problems, func(f Error) bool { return f.Key == b.path }) {
			t.Errorf("got no error for %s", b.path)
		}
	}
}

// TestBrokenValues_CoverEveryKey fails if a new key is missing from brokenValues.
func TestBrokenValues_CoverEveryKey(t *testing.T) {
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
				for _, f := range fieldsOf(rt) {
					walk(f.typ, strings.TrimPrefix(path+"."+f.name, "."))
				}
				return
			}
		}
		last := path[strings.LastIndex(path, ".")+1:]
		top := strings.SplitN(path, ".", 2)[0]
		if !slices.ContainsFunc(brokenValues, func(b struct {
			path    string
			value   any
			wantKey string
		}) bool {
			parts := strings.Split(b.path, ".")
			if len(parts) > 1 && strings.Contains(path, ".limits.") {
				return slices.Contains(parts, "limits") && slices.Contains(parts, last) // all sources have the same limits
			}
			return parts[0] == top && slices.Contains(parts, last) // all sources have the same usual_severity and expected_interval
		}) {
			missing = append(missing, path)
		}
	}
	walk(reflect.TypeFor[Config](), "")
	exempt := []string{"slack.app_token", "slack.signing_secret", "mail.username", "mail.password", "teams.slack_group", "teams.deputies.person", "teams.deputies.from", "teams.deputies.to", "sources.report.pgp_keys.file", "sources.report.pgp_keys.passphrase", "sign_off.attestations.version", "sign_off.attestations.text"}
	for _, path := range missing {
		if !slices.Contains(exempt, path) {
			t.Errorf("%s has no broken value", path)
		}
	}
}

func TestDecode_ErrorNamesKeyAndFix(t *testing.T) {
	for _, tt := range []struct {
		path  string
		value any
		want  string
	}{
		{"sources.sentry.limits.max_body", "2KB", "sources.sentry.limits.max_body: has the wrong type or format. Write a whole number"},
		{"sources.sentry.limits.rate", "many", "sources.sentry.limits.rate: has the wrong type or format. Write a number"},
		{"sources.sentry.limits.off", "perhaps", "sources.sentry.limits.off: has the wrong type or format. Write true or false"},
		{"sources.sentry.limits.burst", 3, "sources.sentry.limits.burst: has no effect without a rate. Set rate"},
		{"routing.0.recurrence_window", "24 hours", "routing[0].recurrence_window: has the wrong type or format. Write a duration such as 24h or 400d"},
		{"routing.0.when", `level == "low" || !(source in ["sentry", "sauce"])`, `routing[0].when: unknown source "sauce". Use one of alertmanager, cloudtrail, `},
		{"routing.0.when", " true ", "routing[1].when: is never evaluated because routing[0] matches every alert"},
		{"storm.per", "24 hours", "storm.per: has the wrong type or format. Write a duration such as 5m or 24h"},
		{"retention.alerts", "a year", "retention.alerts: has the wrong type or format. Write a duration such as 24h or 400d"},
		{"departments.security.deputies.0.until", "soon", "departments.security.deputies[0].until: "},
		{"departments.security.deputies.0.to", "soon", "departments.security.deputies[0].to: has the wrong type or format. Write a day such as 2026-12-20"},
		{"people.0.responder", "perhaps", "people[0].responder: has the wrong type or format. Write true or false"},
		{"slack.bot_token", map[string]any{"a": 1}, "slack.bot_token: has the wrong type or format. Write one value"},
		{"sources.generic.0.tokens.0", "short", "sources.generic[0].tokens[0]: is too short. Use at least 16"},
		{"sources.generic.1.hmac.secrets.0", "short", "sources.generic[1].hmac.secrets[0]: is too short. Use at least 16"},
		{"sources.generic.0.delivery_header", "a b", `sources.generic[0].delivery_header: "a b" is not a valid header name`},
		{"sources.generic.0.headers.0", "a b", `sources.generic[0].headers[0]: "a b" is not a valid header name`},
		{"sources.generic.0.mapping.titel", "item.title", "sources.generic[0].mapping.titel: unknown field. Did you mean title?"},
		{"sources.generic.0.mapping.colour", "item.title", "sources.generic[0].mapping.colour: unknown field. Use one of account, address, at,"},
		{"sources.generic.0.mapping.title", "itm.title", "sources.generic[0].mapping.title: unknown name itm"},
		{"sources.generic.0.mapping.title", `header["X-Other"]`, "sources.generic[0].mapping.title: reads header X-Other, which is not stored: add it to headers"},
	} {
		raw := exampleTree(t)
		setPath(t, raw, strings.Split(tt.path, "."), tt.value)
		if _, err := decode(raw, exampleEnv); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s = %v: got %v\nwant %s", tt.path, tt.value, err, tt.want)
		}
	}
}

func TestDecode_ReportsAllErrorsOfASource(t *testing.T) {
	raw := exampleTree(t)
	for path, value := range map[string]any{"tokens.0": "short", "mapping.title": "itm.title", "mapping.level": "item.", "tags.tool": "body."} {
		setPath(t, raw, strings.Split("sources.generic.0."+path, "."), value)
	}
	_, err := decode(raw, exampleEnv)
	for _, key := range []string{"tokens[0]", "mapping.title", "mapping.level", "tags.tool"} {
		if err == nil || !strings.Contains(err.Error(), "sources.generic[0]."+key+": ") {
			t.Errorf("got no error for %s:\n%v", key, err)
		}
	}
	if err != nil && !strings.HasPrefix(err.Error(), "the configuration has 4 errors:") {
		t.Errorf("got %v", err)
	}
}

func TestDecode_UnknownKeySuggestsSimilar(t *testing.T) {
	raw := exampleTree(t)
	setPath(t, raw, []string{"slack", "bot_tokn"}, "x")
	_, err := decode(raw, exampleEnv)
	if err == nil || !strings.Contains(err.Error(), "slack.bot_tokn: unknown key. Did you mean bot_token?") {
		t.Errorf("got %v", err)
	}
}

func TestDecode_VariableNotSet(t *testing.T) {
	_, err := decode(exampleTree(t), func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), "slack.bot_token: the environment variable SLACK_BOT_TOKEN is not set") {
		t.Errorf("got %v", err)
	}
}

func TestLoad_EnvironmentOverridesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	if err := os.WriteFile(path, []byte(Example), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range envRef.FindAllStringSubmatch(Example, -1) {
		value, _ := exampleEnv(m[1])
		t.Setenv(m[1], value)
	}
	t.Setenv("TOCSIN_DATABASE", "sqlite:elsewhere.db")
	t.Setenv("TOCSIN_SLACK__ANNOUNCE_CHANNEL", "security")
	t.Setenv("TOCSIN_TEST_POSTGRES", "not a key")
	c, err := Load(path)
	if err != nil || c.Store.URL != "sqlite:elsewhere.db" || c.Slack.AnnounceChannel != "security" {
		t.Errorf("got %v, database %q, channel %q", err, c.Store.URL, c.Slack.AnnounceChannel)
	}
}

// TestLoad_NamesTheCause suggests another file only if there is none.
func TestLoad_NamesTheCause(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "Choose another file with --config, or write a new folder with: tocsin init DIR") {
		t.Errorf("missing file: got %v, want a suggestion", err)
	}
	if err := os.WriteFile(path, []byte("listen: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || strings.Contains(err.Error(), "Choose another file") || !strings.Contains(err.Error(), path+":1:9: ") {
		t.Errorf("broken file: got %v, want only the place of the error", err)
	}
}

// With a misspelt variable the value of the file would stay in effect unnoticed.
func TestLoad_RejectsVariablesWithoutKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	own := strings.Replace(Example, "${SLACK_BOT_TOKEN}", "${TOCSIN_OWN_NAME}", 1)
	if err := os.WriteFile(path, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range envRef.FindAllStringSubmatch(own, -1) {
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
		t.Fatalf("variables of Kubernetes and of tests: got %v, want nil", err)
	}
	for name, near := range map[string]string{"TOCSIN_DATABSE": "TOCSIN_DATABASE", "TOCSIN_SLACK_BOT_TOKEN": "TOCSIN_SLACK__BOT_TOKEN", "TOCSIN_PORT": "two underscores for a dot",
		"TOCSIN_SOURCES__REPORT__MAILBOX__PASWORD": "TOCSIN_SOURCES__REPORT__MAILBOX__PASSWORD", "TOCSIN_PEOPLE": "two underscores for a dot", "TOCSIN_": "two underscores",
		"TOCSIN_KILLS": "two underscores for a dot", "TOCSIN_TESTS": "two underscores for a dot"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "8025-secret")
			_, err := Load(path)
			var problems Errors
			if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Key != name || !strings.Contains(problems[0].Fix, near) || strings.Contains(err.Error(), "8025-secret") {
				t.Errorf("got %v, want one error for %s with %q", err, name, near)
			}
		})
	}
}

func TestConfig_PrintsNoSecrets(t *testing.T) {
	c, err := decode(exampleTree(t), exampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	c.Telemetry.SentryDSN = secret.New(canary)
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "pointer", &c)
	for format, text := range map[string]string{"%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v", &c), "%v": fmt.Sprint(c.Escalation.Steps), "yaml": string(asYAML), "slog": log.String()} {
		if strings.Contains(text, canary[:20]) {
			t.Errorf("%s prints a secret", format)
		}
	}
}

func TestConfigDirectory(t *testing.T) {
	c, err := decode(exampleTree(t), exampleEnv)
	if err != nil {
		t.Fatal(err)
	}
	d := c.Directory(map[string][]string{"S01AAAAAAA1": {"U01AAAAAAA3", "U0STRANGER1"}})
	personID := func(provider incident.Provider, id string) incident.PersonID {
		p, ok := d.Resolve(incident.Identity{Provider: provider, ID: id})
		if !ok {
			t.Errorf("no person has the identity %s %s", provider, id)
		}
		return p.ID
	}
	ada := personID(incident.ProviderSlack, "U01AAAAAAA1")
	if ada != personID(incident.ProviderMail, "ADA@example.com") || ada != personID(incident.ProviderPagerDuty, "PAAAAA1") || ada != personID(incident.ProviderLocal, "ada") {
		t.Error("several identities of one person resolve to several people")
	}
	if !d.Member(personID(incident.ProviderSlack, "U0STRANGER1"), incident.Engineering) || !d.Member(personID(incident.ProviderSlack, "U01AAAAAAA3"), incident.Engineering) {
		t.Error("members of the user group are not in the department")
	}
	deputy := c.Departments["security"].Deputies[0]
	if d.Represents(ada, incident.Security, deputy.From.AddDate(0, 0, -1)) || !d.Represents(ada, incident.Security, deputy.To.Add(23*60*60*1e9)) || d.Represents(ada, incident.Security, deputy.To.AddDate(0, 0, 1)) {
		t.Error("the deputy represents security on the wrong days")
	}
	bruno, _ := d.Person(personID(incident.ProviderSlack, "U01AAAAAAA2"))
	chloe, _ := d.Person(personID(incident.ProviderSlack, "U01AAAAAAA3"))
	esra, _ := d.Person(personID(incident.ProviderSlack, "U01AAAAAAA5"))
	if bruno.Responder || !chloe.Responder || esra.Responder {
		t.Errorf("got responders bruno %v, chloe %v, esra %v, want only chloe", bruno.Responder, chloe.Responder, esra.Responder)
	}
	if strings.Contains(string(ada), "ada") {
		t.Errorf("the id %s contains the name", ada)
	}
}
