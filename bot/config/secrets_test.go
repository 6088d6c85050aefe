package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeSecrets writes a file that only its owner can read.
func writeSecrets(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secrets.env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// parseWithSecrets parses the example with a file of secrets. env are the variables of
// the environment.
func parseWithSecrets(path string, env map[string]string) (Config, error) {
	text := strings.Replace(Example, `secrets_file: ""`, "secrets_file: "+path, 1)
	return Parse("tocsin.yaml", []byte(text), nil, func(name string) (string, bool) {
		if value, ok := env[name]; ok {
			return value, true
		}
		if name == "SLACK_BOT_TOKEN" || name == "SLACK_APP_TOKEN" {
			return "", false
		}
		return exampleEnv(name)
	})
}

func TestSecretsFile_SetsVariables(t *testing.T) {
	path := writeSecrets(t, "\xef\xbb\xbf# tokens\n\nSLACK_BOT_TOKEN=xoxb-file\nexport SLACK_APP_TOKEN='xapp \"$quoted\"'\nOTHER=\"two words\"\r\n")
	c, err := parseWithSecrets(path, nil)
	if err != nil || c.Slack.BotToken.Reveal() != "xoxb-file" || c.Slack.AppToken.Reveal() != `xapp "$quoted"` {
		t.Errorf("got %v, tokens %q and %q, want those of the file", err, c.Slack.BotToken.Reveal(), c.Slack.AppToken.Reveal())
	}
	c, err = parseWithSecrets(path, map[string]string{"SLACK_BOT_TOKEN": "xoxb-environment"})
	if err != nil || c.Slack.BotToken.Reveal() != "xoxb-environment" {
		t.Errorf("got %v, token %q, want that of the environment", err, c.Slack.BotToken.Reveal())
	}
}

// TestSecretsFile_NamesTheProblem checks that each problem names the line and the fix,
// and no value.
func TestSecretsFile_NamesTheProblem(t *testing.T) {
	const secret = "do-not-print"
	for name, tt := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"empty value":       {"A=1\nSLACK_BOT_TOKEN=\nSLACK_APP_TOKEN=x", 0o600, "slack.bot_token: the variable SLACK_BOT_TOKEN is empty. Write its value in PATH:2, or set it in the environment"},
		"missing variable":  {"SLACK_APP_TOKEN=x", 0o600, "slack.bot_token: the variable SLACK_BOT_TOKEN is not set. Add a line SLACK_BOT_TOKEN=VALUE to PATH"},
		"no variable":       {"A=1\n" + secret, 0o600, "secrets_file: PATH:2: is not a variable. Write NAME=VALUE"},
		"space":             {"A = " + secret, 0o600, "secrets_file: PATH:1: is not a variable"},
		"twice":             {"A=" + secret + "\nA=x", 0o600, "secrets_file: PATH:2: A is already set in line 1. Remove one of the two"},
		"expansion":         {"A=\"" + secret + "$x\"", 0o600, "secrets_file: PATH:1: the value of A has a quote, a backslash, a dollar sign, a space or another character that programs read differently. Write the value in single quotes"},
		"control character": {"A=x\r" + secret, 0o600, "secrets_file: PATH:1: the value of A has a quote"},
		"open quote":        {"A='" + secret, 0o600, "secrets_file: PATH:1: the value of A has a quote"},
		"readable by all":   {"A=" + secret, 0o604, "secrets_file: PATH is accessible to every user (mode 0604). Run chmod 600 PATH"},
		"too large":         {"A=" + secret + strings.Repeat("x", maxSecrets), 0o600, "secrets_file: PATH has more than 65536 bytes"},
	} {
		path := writeSecrets(t, tt.text)
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		_, err := parseWithSecrets(path, nil)
		if want := strings.ReplaceAll(tt.want, "PATH", path); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want %q without the value", name, err, want)
		}
		if strings.HasPrefix(tt.want, "secrets_file") && err != nil && strings.Contains(err.Error(), "Add a line") {
			t.Errorf("%s: got %v, want no advice to add a line to a file that was not read", name, err)
		}
	}
	_, err := parseWithSecrets("/nowhere/secrets.env", nil)
	if err == nil || !strings.Contains(err.Error(), "/nowhere/secrets.env does not exist. Create it") || !strings.Contains(err.Error(), "tocsin.yaml:") {
		t.Errorf("missing file: got %v, want its place and how to create it", err)
	}
	if _, err = parseWithSecrets(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("folder: got %v, want an error", err)
	}
}

// TestSecretsFile_IsTheOnlyProblem checks that the variables of a file that cannot be read
// are not reported as missing, because one repair sets all of them.
func TestSecretsFile_IsTheOnlyProblem(t *testing.T) {
	readable := writeSecrets(t, "A=b\n")
	if err := os.Chmod(readable, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{readable, "/nowhere/secrets.env", writeSecrets(t, "A='\n"), t.TempDir()} {
		_, err := parseWithSecrets(path, nil)
		var problems Errors
		if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Key != "secrets_file" {
			t.Errorf("%s: got %v, want only the problem of the file", path, err)
		}
	}
}

// FuzzSecrets checks that a file is read or refused, and that an error never contains a
// value.
func FuzzSecrets(f *testing.F) {
	f.Add("A=1\n# x\nB='two words'\nexport C=\"x\"\n")
	f.Add("A='\nB=\\\n=\n\xff=x")
	f.Fuzz(func(t *testing.T, text string) {
		s := secretsFile{path: "f", values: map[string]string{}, lines: map[string]int{}}
		if err := s.parse([]byte(text)); err != nil {
			return
		}
		for name, value := range s.values {
			again := secretsFile{path: "f", values: map[string]string{}, lines: map[string]int{}}
			if strings.ContainsAny(value, "'\r\n") {
				t.Fatalf("got a value %q that cannot be written again", value)
			}
			if err := again.parse([]byte(name + "='" + value + "'")); err != nil || again.values[name] != value {
				t.Errorf("%s: got %q, %v after it was written again, want %q", name, again.values[name], err, value)
			}
		}
	})
}

func TestPlaceholder_EachIsReportedOnce(t *testing.T) {
	text := strings.NewReplacer("name: Bruno Lind, email: bruno@example.com", "name: FILL_IN engineer, email: FILL_IN-1@example.com", "bruno@example.com", "FILL_IN-1@example.com",
		"announce_channel: incidents", "announce_channel: FILL_IN").Replace(Example)
	_, err := parseText(text)
	if err == nil {
		t.Fatal("got no error, want one for each placeholder")
	}
	for _, want := range []string{"people[1].name: is a placeholder of `tocsin init`. Write the name of the person", "people[1].email: is a placeholder",
		"slack.announce_channel: is a placeholder of `tocsin init`. Write the name of a channel"} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("got %v, want once %q", err, want)
		}
	}
	if n := strings.Count(err.Error(), "is a placeholder"); n != 3 {
		t.Errorf("got %d placeholders, want 3: members of departments repeat one of them\n%v", n, err)
	}
}
