package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/store"
)

// genuineEnv returns values of the variables in the example that have the form of the
// systems.
func genuineEnv(name string) (string, bool) {
	switch name {
	case "SLACK_BOT_TOKEN":
		return "xoxb-0123456789", true
	case "SLACK_APP_TOKEN":
		return "xapp-0123456789", true
	case "SLACK_SIGNING_SECRET", "PAGERDUTY_ROUTING_KEY":
		return "0123456789abcdef0123456789abcdef", true
	}
	return exampleEnv(name)
}

// withRouting returns the example with other routing rules, one for each condition. The last
// one opens incidents.
func withRouting(conditions ...string) string {
	before, rest, _ := strings.Cut(Example, "routing:\n  - when")
	_, after, _ := strings.Cut(rest, "\n\n# Maximum number")
	out := before + "routing:\n"
	for _, c := range conditions {
		out += "  - {when: '" + c + "', watch: true}\n"
	}
	return out + "  - {when: title == \"x\", open: sev2}\n\n# Maximum number" + after
}

// TestCheck_Warnings changes the example in one place. Each change is valid, and does not
// work as its author expects.
func TestCheck_Warnings(t *testing.T) {
	replace := func(pairs ...string) string {
		for n := 0; n < len(pairs); n += 2 {
			if !strings.Contains(Example, pairs[n]) {
				t.Errorf("the example does not contain %q", pairs[n])
			}
		}
		return strings.NewReplacer(pairs...).Replace(Example)
	}
	before, rest, _ := strings.Cut(Example, "backup:\n")
	_, after, _ := strings.Cut(rest, "\n\n")
	for name, test := range map[string]struct{ text, want string }{
		"no backup":                    {before + "\n" + after, "backup: is not configured, so Tocsin makes no backups"},
		"one destination":              {replace("    - s3://tocsin-backups/production?region=eu-west-3\n", "", "copies_required: 2", "copies_required: 1"), "backup.to: has one destination, which can be lost together with the database"},
		"no proof":                     {replace(`at: "04:00" `, `at: "" `), "backup.verify.at: is empty, so nothing proves that the backups restore"},
		"pages over HTTP":              {replace("public_url: https://", "public_url: http://", "require: passkey", "require: any", "sensitive: passkey", "sensitive: any"), "public_url: is not encrypted"},
		"pages at an address":          {replace("public_url: https://tocsin.example.com", "public_url: https://192.0.2.7", "require: passkey", "require: any", "sensitive: passkey", "sensitive: any"), "public_url: has an address instead of a name"},
		"pages at a path":              {replace("public_url: https://tocsin.example.com", "public_url: https://example.com/tocsin"), "public_url: has a path"},
		"no pages served":              {replace("serve: [webhooks, pages]", "serve: [webhooks]", "require: passkey", "require: any", "sensitive: passkey", "sensitive: any"), "serve: has no pages"},
		"issuers without pages":        {replace("public_url: https://tocsin.example.com", `public_url: ""`, "require: passkey", "require: any", "sensitive: passkey", "sensitive: any"), "sign_in.issuers: have no effect"},
		"no second factor":             {replace("        claim: amr ", "        claim: \"\" ", "        values: [mfa, hwk]\n", ""), "sign_in.issuers[0].second_factor: is missing, so a sign-in there proves one factor"},
		"no maximum age":               {replace("max_age: 12h ", "max_age: 0s "), "sign_in.issuers[0].max_age: is missing"},
		"no subjects":                  {replace("    oidc: \"00000000-0000-0000-0000-000000000001\"\n", ""), "people: has no person with oidc"},
		"public telemetry":             {replace("listen: 127.0.0.1:9464", "listen: 0.0.0.0:9464"), "telemetry.listen: is reachable from other machines"},
		"bot token":                    {replace("${SLACK_BOT_TOKEN}", "0123456789"), ":14: slack.bot_token: does not begin with xoxb-"},
		"app token":                    {replace("${SLACK_APP_TOKEN}", "0123456789"), ":14: slack.app_token: does not begin with xapp-"},
		"signing secret":               {replace("${SLACK_SIGNING_SECRET}", "xoxb-0123456789"), "slack.signing_secret: does not have the form"},
		"channel":                      {replace("announce_channel: incidents", "announce_channel: Security Incidents"), "slack.announce_channel: \"Security Incidents\" is not the name of a channel"},
		"api over HTTP":                {replace("https://slack.com/api/", "http://slack.example.com/api/"), "slack.api_url: sends the tokens without encryption"},
		"events over HTTP":             {replace("events_url: https://events.pagerduty.com", "events_url: http://pagerduty.example.com"), "pagerduty.events_url: sends routing keys"},
		"routing key":                  {replace("${PAGERDUTY_ROUTING_KEY}", "0123456789abcdef-0123456789abcde"), "escalation.steps[0].pagerduty.routing_key: has characters"},
		"handle":                       {replace("slack: U01AAAAAAA1 ", `slack: "@ada" `), `:12: people[0].slack: "@ada" is not a Slack member ID`},
		"display name":                 {replace("slack: U01AAAAAAA3", "slack: chloe"), `people[2].slack: "chloe" is not a Slack member ID`},
		"pagerduty name":               {replace("pagerduty: PAAAAA1", "pagerduty: ada@example.org"), `people[0].pagerduty: "ada@example.org" is not the id`},
		"group name":                   {replace("slack_group: S01AAAAAAA1", `slack_group: "@security"`), `departments.engineering.slack_group: "@security" is not the id`},
		"group name of a step":         {replace("slack_group: S01AAAAAAA2", "slack_group: security"), `escalation.steps[2].slack_group: "security" is not the id`},
		"same step twice":              {replace("slack_group: S01AAAAAAA2", "pagerduty: {routing_key: \"${PAGERDUTY_ROUTING_KEY}\"}"), "escalation.steps[2]: pages the same target as escalation.steps[0]"},
		"password without TLS":         {replace("tls: mandatory", "tls: none"), ":8: mail.tls: is none, so the password"},
		"port of implicit TLS":         {replace("port: 587", "port: 465"), "mail.tls: does not fit port 465"},
		"implicit TLS on another port": {replace("tls: mandatory", "tls: implicit"), "mail.tls: does not fit port 587"},
		"no user name":                 {replace("username: tocsin\n", "username: \"\"\n"), "mail.username: is missing, so the password is not used"},
		"no password":                  {replace("${SMTP_PASSWORD}", `""`), "mail.password: is missing, so Tocsin cannot sign in"},
		"every proxy":                  {replace("trusted_proxies: [127.0.0.1]", "trusted_proxies: [0.0.0.0/0]"), "sources.trusted_proxies[0]: trusts X-Forwarded-For of every address"},
		"empty team":                   {replace("dpo: {members: [ines@example.com]}", "dpo: {members: []}"), "teams.dpo: is empty"},
		"same people twice":            {replace("members: [esra@example.com, farid@example.com]", "members: [grace@example.com, hugo@example.com]"), "departments: cannot close an incident"},
		"people without an account":    {replace(", slack: U01AAAAAAA5", "", ", slack: U01AAAAAAA6", ""), "departments.legal.members: has 2 people, and 0 of them can sign"},
		"deputy who is a member":       {replace("person: ada@example.com", "person: chloe@example.com"), "departments.security.deputies[0].person: is already a member"},
		"nothing opens":                {replace("open: sev1", "watch: true", "open: sev2", "watch: true", "open: sev3", "watch: true", "open: sev4", "watch: true", "playbook: leaked-aws-credentials", "", "playbook: data-exposure", "", "recurrence_window: 24h", ""), "routing: opens no incident"},
		"nothing pages":                {replace("no_page_from: sev4 ", "no_page_from: sev2 ", "open: sev1", "open: sev3", "open: sev2", "open: sev3"), "routing: sends no page"},
		"level of Sentry":              {withRouting(`level == "fatal"`), `routing[0].when: compares level with "fatal", which no alert has. Tocsin translates it: write "critical"`},
		"spelling of a level":          {withRouting(`level == "hihg"`), `Did you mean "high"?`},
		"case of a level":              {withRouting(`level == "High"`), `Did you mean "high"?`},
		"unknown level":                {withRouting(`level == "p0"`), "Use one of critical, high, medium, low, informational"},
		"order of levels":              {withRouting(`level >= "high"`), "routing[0].when: compares levels by the alphabet"},
		"kind":                         {withRouting(`kind == "sentry.isue"`), `Did you mean "sentry.issue"?`},
		"contradiction":                {withRouting(`source == "sentry" and source == "pagerduty"`), "routing[0].when: can never be true"},
		"reports that open nothing":    {replace(`source == "report"             # sev4`, `source == "sns"  # sev4`), "routing[8]: opens no incident for the reports that people send with the level low, medium, so nobody sees them"},
		"reports that may be attached": {replace("open: sev4\n  - when: sample", "attach: true\n  - when: sample"), "routing[4]: opens no incident for the reports"},
		"level of another source":      {withRouting(`source == "pagerduty" and level == "critical"`), "routing[0].when: can never be true"},
		"shadowed":                     {withRouting(`source == "sentry"`, `source == "sentry" and level == "high"`), "routing[1].when: never decides"},
		"source of HackerOne":          {withRouting(`source == "hackerone"`), `its alerts have the source "report"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, warnings, err := parse("f", []byte(test.text), nil, genuineEnv, Config.problems)
			if err != nil {
				t.Fatalf("got %v, want a valid configuration", err)
			}
			if got := warnings.Warnings(); !strings.Contains(got, test.want) || !strings.Contains(got, " f:") {
				t.Errorf("got %s\nwant a line with %q", got, test.want)
			}
		})
	}
}

// TestCheck_NoWarnings checks configurations that work.
func TestCheck_NoWarnings(t *testing.T) {
	without, _, _ := strings.Cut(Example, "routing:\n  - when")
	_, backups, _ := strings.Cut(Example, "\nbackup:")
	without += "\nbackup:" + backups
	for name, text := range map[string]string{"example": Example, "default rules": without,
		"relay on this machine": strings.NewReplacer("host: smtp.example.com", "host: localhost", "tls: mandatory", "tls: none").Replace(Example)} {
		_, warnings, err := parse("f", []byte(text), nil, genuineEnv, Config.problems)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := warnings.Warnings(); len(warnings) != 1 || !strings.Contains(got, "run `tocsin keys create keyset.json`") {
			t.Errorf("%s: got %s, want only the missing keyset", name, got)
		}
	}
}

// TestParse_SwappedTokens refuses tokens in the place of another one.
func TestParse_SwappedTokens(t *testing.T) {
	for name, test := range map[string]struct{ old, secret, want string }{
		"app token as bot token": {"${SLACK_BOT_TOKEN}", "xapp-0123456789", "slack.bot_token: is an app-level token. Write it to slack.app_token"},
		"bot token as app token": {"${SLACK_APP_TOKEN}", "xoxb-0123456789", "slack.app_token: is not an app-level token"},
		"user token":             {"${SLACK_APP_TOKEN}", "xoxp-0123456789", "slack.app_token: is not an app-level token"},
		"API access key":         {"${PAGERDUTY_ROUTING_KEY}", "u+0123456789abcdefgh", "routing_key: has 20 characters, like an API access key"},
	} {
		_, err := Parse("f", []byte(strings.Replace(Example, test.old, test.secret, 1)), nil, genuineEnv)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), test.secret) {
			t.Errorf("%s: got %v, want %q without the secret", name, err, test.want)
		}
	}
}

// TestCheck_Keyset checks the keyset, which other commands do not read.
func TestCheck_Keyset(t *testing.T) {
	dir := t.TempDir()
	keyset, file := filepath.Join(dir, "keyset.json"), filepath.Join(dir, "tocsin.yaml")
	if err := store.CreateKeyset(keyset); err != nil {
		t.Fatal(err)
	}
	for _, name := range envNames() {
		value, _ := genuineEnv(name)
		t.Setenv(name, value)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(Example, "keyset_file: keyset.json", "keyset_file: "+keyset, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, warnings, err := Check(file); err != nil || len(warnings) > 0 {
		t.Errorf("got %v and %v, want neither", err, warnings)
	}
	if err := os.Chmod(keyset, 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err := Check(file)
	if err == nil || !strings.Contains(err.Error(), "keyset_file: keyset "+keyset+" is accessible to other users") || !strings.Contains(err.Error(), file+":") {
		t.Errorf("got %v for a keyset that others can read, want an error with its place", err)
	}
	if _, err := Load(file); err != nil {
		t.Errorf("got %v from Load, want no error: a client needs no keyset", err)
	}
}

// envNames returns the variables in the example.
func envNames() (names []string) {
	for _, m := range envRef.FindAllStringSubmatch(Example, -1) {
		if _, known := exampleEnv(m[1]); known {
			names = append(names, m[1])
		}
	}
	return names
}
