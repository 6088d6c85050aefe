package incident

import (
	"os/exec"
	"strings"
	"testing"
)

var cloudTrailAlert = Alert{Source: "cloudtrail", Account: "123456789012", Region: "eu-west-1", Principal: "arn:aws:iam::123456789012:user/ci/payroll-exporter", Address: "203.0.113.7",
	Tags: map[string]string{"access_key": "AKIAIOSFODNN7EXAMPLE", "bucket": "payslips"}}

func TestFill_ValuesOfAlerts(t *testing.T) {
	const command = "aws iam update-access-key --user-name {{iam_user}} --access-key-id {{access_key_id}} in {{aws_account}} {{aws_region}} {{bucket}} {{log_group}} {{incident}} {{.Names}}"
	for name, c := range map[string]struct {
		alert Alert
		want  string
	}{
		"cloudtrail": {cloudTrailAlert, "aws iam update-access-key --user-name payroll-exporter --access-key-id AKIAIOSFODNN7EXAMPLE in 123456789012 eu-west-1 payslips {{log_group}} INC-42 {{.Names}}"},
		"role": {Alert{Principal: "arn:aws:sts::1:assumed-role/deploy/session"},
			strings.ReplaceAll(command, "{{incident}}", "INC-42")},
		"tags": {Alert{Source: "sentry", Tags: map[string]string{"iam_user": "o'neil & co", "log_group": "/aws/lambda/x", "bucket": "Not A Bucket"}},
			"aws iam update-access-key --user-name 'o'\\''neil & co' --access-key-id {{access_key_id}} in {{aws_account}} {{aws_region}} {{bucket}} /aws/lambda/x INC-42 {{.Names}}"},
		"nothing": {Alert{}, strings.ReplaceAll(command, "{{incident}}", "INC-42")},
	} {
		t.Run(name, func(t *testing.T) {
			run := Run{Plan: []Step{{ID: "disable-key", Detail: command}}}
			if got := run.Fill(42, c.alert).Plan[0].Detail; got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if run.Plan[0].Detail != command {
				t.Error("got a changed playbook, want a copy")
			}
		})
	}
	if got := (Run{Plan: []Step{{Action: "post role {{iam_role}}"}}}).Fill(42, Alert{Principal: "arn:aws:sts::1:assumed-role/deploy/session"}).Plan[0].Action; got != "post role deploy" {
		t.Errorf("got %q, want the role", got)
	}
}

// TestFill_NoFiles gives values that a program reads as a file or as an option.
func TestFill_NoFiles(t *testing.T) {
	for _, value := range []string{"file:///etc/passwd", "fileb://key.pem", "https://evil.example/x", "@/etc/passwd", "-rf", "--endpoint-url=https://evil.example"} {
		if got := fillPlaceholders("{{iam_user}}", 42, Alert{Tags: map[string]string{"iam_user": value}}); got != "{{iam_user}}" {
			t.Errorf("%s: got %s, want the placeholder", value, got)
		}
	}
}

// FuzzFill gives every placeholder a hostile value. A shell reads the command as exactly
// one word with that value, or the placeholder stays.
func FuzzFill(f *testing.F) {
	for _, s := range []string{"payroll-exporter", "'; rm -rf /; '", "$(id)", "`id`", "a\nb", "-rf", "\"", "\\", "{{bucket}}", "\u202e", "a b", "*", "~", "#x", "'", "''", "a'b\\", "!x", "", "\x00", "file:///etc/passwd", "@/etc/passwd", "=ls", "https://evil.example", strings.Repeat("x", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, p := range placeholders {
			name := "{{" + p.name + "}}"
			got := fillPlaceholders("{{"+p.name+"}}", 42, Alert{Tags: map[string]string{p.name: value}, Account: value, Region: value, Address: value, Project: value})
			if got == name {
				continue
			}
			if strings.ContainsAny(got, "\n\r\x00") || strings.Contains(got, "://") || strings.ContainsAny(got[:1], "-@=") {
				t.Fatalf("%s: got %q, want one line that is no option and no file", p.name, got)
			}
			if p.exact != nil && got != value || p.exact == nil && unquote(t, got) != value {
				t.Fatalf("%s: got %q for %q", p.name, got, value)
			}
		}
	})
}

// unquote returns the word that a POSIX shell reads, by the rules of single quotes. It fails
// the test for a character outside quotes that has a meaning for a shell.
func unquote(t *testing.T, s string) string {
	var out strings.Builder
	quoted, escaped := false, false
	for _, c := range s {
		switch {
		case escaped:
			out.WriteRune(c)
			escaped = false
		case c == '\'':
			quoted = !quoted
		case quoted:
			out.WriteRune(c)
		case c == '\\':
			escaped = true
		case strings.ContainsRune(" \t$`\"&|;<>()*?[]#~!{}", c), c > 0x7e:
			t.Fatalf("got %q with %q outside quotes", s, c)
		default:
			out.WriteRune(c)
		}
	}
	if quoted || escaped {
		t.Fatalf("got %q with an open quote", s)
	}
	return out.String()
}

// TestFill_ShellReadsOneWord asks a real shell.
func TestFill_ShellReadsOneWord(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	for _, value := range []string{"=sh", "'; echo x; '", "$(echo x)", "`echo x`", "a  b", "*", "~root", "a'b\\'c", "${HOME}", "\"", "é & 🔥"} {
		word := fillPlaceholders("{{iam_user}}", 42, Alert{Tags: map[string]string{"iam_user": value}})
		out, err := exec.Command(sh, "-c", "printf '%s|%s' "+word+" end").Output() // #nosec G204 -- the subject of the test
		if err != nil || string(out) != value+"|end" {
			t.Errorf("%q: got %q, %v from %s", value, out, err, word)
		}
	}
}
