package detect_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"tocsin/bot/detect"
)

// All built-in rules have fixtures, and some fixture fails if any condition of a
// rule is removed.
func TestCheck_BuiltinRules(t *testing.T) {
	result := detect.Check(detect.Options{Builtin: true})
	for _, f := range result.Problems {
		t.Error(f)
	}
	if len(result.Untested) > 0 {
		t.Errorf("got rules without fixtures %v, want none", result.Untested)
	}
	t.Logf("%d rules, %d records, %d mutants", result.Rules, result.Records, result.Mutants)
}

func TestBuiltinRules_HaveMetadata(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	rs, result := detect.Load(detect.Options{Builtin: true, All: true})
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	for _, w := range result.Warnings {
		t.Error(w)
	}
	for _, r := range rs.Rules() {
		switch {
		case !uuid.MatchString(r.ID), r.Name == "", r.Author != "Tocsin", r.Description == "", len(r.FalsePositives) == 0, r.Title == r.ID:
			t.Errorf("%s (%s): got incomplete metadata %+v", r.ID, r.Title, r)
		case !strings.HasPrefix(strings.Join(r.Tags, " "), "attack.") || !strings.Contains(strings.Join(r.Tags, " "), "attack.t1"):
			t.Errorf("%s: got tags %v, want a tactic and a technique", r.Name, r.Tags)
		}
	}
}

// Only the rules listed here match a call that AWS refused. They are about the
// caller or about refused calls.
func TestBuiltinRules_RefusedCallIsNotAChange(t *testing.T) {
	matchRefused := []string{"root-used", "attack-distribution", "instance-credentials-used", "instance-credentials-on-workstation", "console-login-without-mfa", "console-login-failed", "console-login-failed-for-user",
		"refused-call", "severe-call-refused", "credential-scanner", "attack-tool", "identity-by-file-browser", "windows-password-read", "mail-explored"}
	rs, _ := detect.Load(detect.Options{Builtin: true, All: true})
	files, err := filepath.Glob("rules/fixtures/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, error %v", files, err)
	}
	for _, file := range files {
		src, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		docs := yaml.NewDecoder(src)
		for {
			var fixture struct {
				Rule    string
				Records []map[string]any
			}
			if err := docs.Decode(&fixture); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, record := range fixture.Records {
				record["errorCode"] = "AccessDenied"
				b, err := json.Marshal(record)
				if err != nil {
					t.Fatal(err)
				}
				r, err := detect.DecodeRecord(b)
				if err != nil {
					t.Fatal(err)
				}
				rs.Match(r, func(h detect.Hit) {
					if !slices.Contains(matchRefused, h.Rule.Name) {
						t.Errorf("got a hit of %s for a refused call, want none: %s", h.Rule.Name, b)
					}
				})
			}
		}
	}
}

// Calls that people make for themselves, and calls of services, raise no alert of a
// level that pages.
func TestBuiltinRules_RoutineCallsAreQuiet(t *testing.T) {
	rs, _ := detect.Load(detect.Options{Builtin: true})
	const alice = `"userIdentity":{"type":"IAMUser","userName":"alice","arn":"arn:aws:iam::111122223333:user/alice"},"requestParameters":{"userName":"alice"}`
	identityCenter := func(request string) string {
		return `"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/AWSServiceRoleForSSO/AWS-SSO","invokedBy":"sso.amazonaws.com",` +
			`"sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/aws-service-role/sso.amazonaws.com/AWSServiceRoleForSSO"}}},"requestParameters":` + request
	}
	for call, rest := range map[string]string{
		"iam.ChangePassword":         `"userIdentity":{"type":"IAMUser","userName":"alice"},"requestParameters":null`,
		"iam.UpdateLoginProfile":     alice,
		"iam.CreateAccessKey":        alice,
		"iam.EnableMFADevice":        alice,
		"iam.DeactivateMFADevice":    alice,
		"iam.CreateSAMLProvider":     identityCenter(`{"name":"AWSSSO_0123456789abcdef_DO_NOT_DELETE"}`),
		"iam.UpdateSAMLProvider":     identityCenter(`{"sAMLProviderArn":"arn:aws:iam::111122223333:saml-provider/AWSSSO_0123456789abcdef_DO_NOT_DELETE"}`),
		"iam.AttachRolePolicy":       identityCenter(`{"roleName":"AWSReservedSSO_Admin_0","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`),
		"iam.PutRolePolicy":          identityCenter(`{"policyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}"}`),
		"iam.UpdateAssumeRolePolicy": identityCenter(`{"roleName":"AWSReservedSSO_Admin_0"}`),
		"signin.GetSigninToken":      `"userIdentity":{"type":"AssumedRole","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_0"}}}`,
		"rds.DeleteDBSnapshot":       `"userIdentity":{"type":"AssumedRole","invokedBy":"backup.amazonaws.com"}`,
	} {
		source, name, _ := strings.Cut(call, ".")
		r, err := detect.DecodeRecord([]byte(`{"eventSource":"` + source + `.amazonaws.com","eventName":"` + name + `","recipientAccountId":"111122223333",` + rest + `}`))
		if err != nil {
			t.Fatal(err)
		}
		rs.Match(r, func(h detect.Hit) {
			if !h.Rule.Silent && h.Rule.Level.Compare(detect.High) >= 0 {
				t.Errorf("%s: got a hit of %s (%s), want none", call, h.Rule.Name, h.Rule.Level)
			}
		})
	}
}

func TestCheck_ReportsErrors(t *testing.T) {
	const fixture = "rule: a\nrecords: [{eventName: E}]\n"
	for name, c := range map[string]struct{ rule, fixture, want string }{
		"valid":          {rule("a"), fixture + "not: [{eventName: F}]\n", ""},
		"no near miss":   {rule("a"), fixture, "all fixtures also pass for the rule without eventName"},
		"does not match": {rule("a"), "rule: a\nrecords: [{eventName: F}]\n", "should match"},
		"matches":        {rule("a"), fixture + "not: [{eventName: e}, {eventName: F}]\n", "should not match"},
		"two fields":     {rule("a"), fixture + "not: [{eventName: F, x: 1}]\n", "a change must have one field, not both"},
		"unknown rule":   {rule("a"), "rule: b\nrecords: [{}]\n", "names an unknown rule"},
		"unknown path":   {rule("a"), fixture + "not: [{a.b.c: F}]\n", "has no field a.b.c to change"},
		"unknown record": {rule("a"), fixture + "not: [{of: 2, eventName: F}]\n", "one field, and of must be the number"},
		"no records":     {rule("a"), "rule: a\n", "has no records"},
		"list value":     {strings.Replace(rule("a"), "eventName: E", "eventName: [E, F]", 1), fixture + "not: [{eventName: G}]\n", "without value 2 of eventName"},
		"operand of or":  {strings.Replace(rule("a"), "{s: {eventName: E}, condition: s}", "{s: {eventName: E}, t: {x: 1}, condition: s or t}", 1), fixture + "not: [{eventName: G}]\n", "without x"},
		"negation":       {strings.Replace(rule("a"), "condition: s", "t: {x: 1}, condition: s and not t", 1), fixture + "not: [{eventName: G}]\n", "without not x"},
		"invalid YAML":   {rule("a"), "rule: [", "YAML"},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "fixtures"), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"a.yml": c.rule, "fixtures/a.yml": c.fixture} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		result := detect.Check(detect.Options{}, dir)
		var got []string
		for _, f := range result.Problems {
			got = append(got, f.Error())
		}
		if all := strings.Join(got, "\n"); (c.want == "") != (len(got) == 0) || !strings.Contains(all, c.want) {
			t.Errorf("%s: got errors %q, want one with %q", name, got, c.want)
		}
	}
	if result := detect.Check(detect.Options{}, t.TempDir()); len(result.Problems) != 0 || result.Rules != 0 {
		t.Errorf("empty folder: got %+v, want no rules and no errors", result)
	}
}
