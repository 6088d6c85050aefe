package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"tocsin/bot/setting"
)

// Placeholder marks a text that `tocsin init` could not fill in. A configuration that
// contains it is invalid.
const Placeholder = "FILL_IN"

// secretsFile holds the variables of secrets_file.
type secretsFile struct {
	path   string
	values map[string]string
	lines  map[string]int // line by variable
	unread bool           // the file has a problem, so that variables may be missing in values
}

// maxSecrets is the maximum size of a file with variables in bytes.
const maxSecrets = 64 << 10

// secretsKey is the key that names the file.
const secretsKey = "secrets_file"

// readSecrets reads the file that the key secrets_file names, if it is set.
func readSecrets(root *node) (s secretsFile, problems setting.Problems) {
	n := slices.IndexFunc(root.keys, func(e entry) bool { return e.name == secretsKey })
	if n < 0 || root.keys[n].value.text == "" {
		return s, nil
	}
	s = secretsFile{path: root.keys[n].value.text, values: map[string]string{}, lines: map[string]int{}}
	defer func() { s.unread = len(problems) > 0 }()
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		problems.Add(secretsKey, "%s does not exist. Create it with a line NAME=VALUE for each secret and run chmod 600 %s, or let `tocsin init DIR` write a new folder", s.path, s.path)
		return s, problems
	case err != nil:
		problems.Add(secretsKey, "cannot be read: %v. Correct the path, or its permissions", err)
		return s, problems
	case !info.Mode().IsRegular():
		problems.Add(secretsKey, "%s is not a file. Write the path of a file with lines NAME=VALUE", s.path)
		return s, problems
	case info.Mode().Perm()&0o007 != 0:
		problems.Add(secretsKey, "%s is accessible to every user (mode %#o). Run chmod 600 %s", s.path, info.Mode().Perm(), s.path)
		return s, problems
	}
	src, err := readFile(s.path)
	switch {
	case err != nil:
		problems.Add(secretsKey, "cannot be read: %v. Correct the path, or its permissions", err)
	case len(src) > maxSecrets:
		problems.Add(secretsKey, "%s has more than %d bytes. Check that it is the file with the secrets", s.path, maxSecrets)
	default:
		if err := s.parse(src); err != nil {
			problems.Add(secretsKey, "%v", err)
		}
	}
	return s, problems
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// parse reads lines NAME=VALUE, empty lines and comments. A value may stand in single
// or double quotes. systemd and shells read the same lines in the same way, because a
// value with other quotes, a backslash or an expansion is an error. The error does not
// contain the value.
func (s secretsFile) parse(src []byte) error {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	n := 0
	for line := range strings.Lines(string(src)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !found || !variableName.MatchString(name) {
			return fmt.Errorf("%s:%d: is not a variable. Write NAME=VALUE without spaces around the name, or begin a comment with #", s.path, n)
		}
		if other, twice := s.lines[name]; twice {
			return fmt.Errorf("%s:%d: %s is already set in line %d. Remove one of the two", s.path, n, name, other)
		}
		value, ok := unquote(value)
		if !ok {
			return fmt.Errorf("%s:%d: the value of %s has a quote, a backslash, a dollar sign, a space or another character that programs read differently. Write the value in single quotes", s.path, n, name)
		}
		s.values[name], s.lines[name] = value, n
	}
	return nil
}

// unquote returns the value that systemd and shells read alike, and false if they
// differ.
func unquote(value string) (string, bool) {
	if strings.ContainsFunc(value, unicode.IsControl) {
		return "", false
	}
	for _, quote := range []string{"'", `"`} {
		inner, begins := strings.CutPrefix(value, quote)
		inner, ends := strings.CutSuffix(inner, quote)
		if begins && ends {
			return inner, !strings.Contains(inner, "'") && (quote == "'" || !strings.ContainsAny(inner, "\"\\$`"))
		}
	}
	return value, !strings.ContainsAny(value, " \t'\"\\$`;&|<>()#*?[]~")
}

// lookup returns a variable that is not empty.
func (s secretsFile) lookup(name string) (string, bool) {
	value := s.values[name]
	return value, value != ""
}

// describeMissing returns why a variable has no value, and the fix.
func (s secretsFile) describeMissing(name string) string {
	switch line, listed := s.lines[name]; {
	case listed:
		return "the variable " + name + " is empty. Write its value in " + s.path + ":" + strconv.Itoa(line) + ", or set it in the environment"
	case s.path != "":
		return "the variable " + name + " is not set. Add a line " + name + "=VALUE to " + s.path + ", or set it in the environment"
	}
	return "the environment variable " + name + " is not set. Set it or write the value"
}

// fillIn describes the values that replace a placeholder, by the last part of the key.
var fillIn = map[string]string{
	"name":             "the name of the person",
	"email":            "the e-mail address of the person",
	"slack":            "the member ID of the person. In Slack, open the profile, the menu with three dots, Copy member ID",
	"pagerduty":        "the user ID from the address of the person's page in PagerDuty",
	"announce_channel": "the name of a channel that the app was invited to",
	"host":             "the host of the SMTP relay",
	"from":             "the sender, such as Tocsin <tocsin@example.com>",
	"to":               "the addresses that are paged",
}

// describePlaceholder returns the problem of a value that still is a placeholder.
func describePlaceholder(key string) string {
	last := indexPattern.ReplaceAllString(key[strings.LastIndex(key, ".")+1:], "")
	what := fillIn[last]
	if what == "" {
		what = "the value"
	}
	return "is a placeholder of `tocsin init`. Write " + what
}
