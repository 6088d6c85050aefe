package incident

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A placeholder such as {{access_key_id}} in the instructions of a step is replaced by a
// value of the alert that starts the playbook. A placeholder without a value stays visible.

// placeholder is a name that instructions may contain.
type placeholder struct {
	name string
	// derive returns the value of an alert without a tag of that name. It may be nil.
	derive func(Alert) string
	// exact reports whether a value needs no quotes. It is nil for a value of any form,
	// which is quoted for a shell.
	exact func(string) bool
}

// placeholders is the closed list of names.
var placeholders = []placeholder{
	{"access_key_id", func(a Alert) string { return a.Tags["access_key"] }, matches(`[A-Z0-9]{16,32}`)},
	{"iam_user", func(a Alert) string { return arnName(a.Principal, "user") }, nil},
	{"iam_role", func(a Alert) string {
		return firstOf(arnName(a.Principal, "role"), arnName(a.Principal, "assumed-role"))
	}, nil},
	{"aws_account", func(a Alert) string { return a.Account }, matches(`[0-9]{12}`)},
	{"aws_region", func(a Alert) string { return a.Region }, matches(`[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}`)},
	{"bucket", nil, matches(`[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`)},
	{"address", func(a Alert) string { return a.Address }, func(s string) bool { _, err := netip.ParseAddr(s); return err == nil && !strings.Contains(s, "%") }},
	{"project", func(a Alert) string { return a.Project }, nil},
	{"release", func(a Alert) string { return a.Release }, nil},
	{"environment", func(a Alert) string { return a.Environment }, nil},
	{"analyzer_arn", nil, nil}, {"db_snapshot_id", nil, nil}, {"detector_id", nil, nil}, {"distribution_id", nil, nil}, {"evidence_bucket", nil, matches(`[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`)},
	{"image", nil, nil}, {"log_group", nil, nil}, {"namespace", nil, nil}, {"serial", nil, nil}, {"snapshot_id", nil, nil}, {"trail_arn", nil, nil},
	{"trail_bucket", nil, matches(`[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`)},
}

func matches(pattern string) func(string) bool {
	return regexp.MustCompile(`^(` + pattern + `)$`).MatchString
}

// arnName returns the name in an ARN of a kind: "ada" of arn:aws:iam::1:user/path/ada.
func arnName(arn, kind string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return ""
	}
	path := strings.Split(parts[5], "/")
	switch {
	case len(path) < 2 || path[0] != kind:
		return ""
	case kind == "assumed-role":
		return path[1]
	}
	return path[len(path)-1]
}

// incidentPlaceholder is the ID of the incident. It always has a value.
const incidentPlaceholder = "incident"

// Placeholders returns the names that instructions may contain between {{ and }}.
func Placeholders() []string {
	out := []string{incidentPlaceholder}
	for _, p := range placeholders {
		out = append(out, p.name)
	}
	slices.Sort(out)
	return out
}

// ExactPlaceholder reports whether the value of a placeholder never needs quotes, and may
// therefore be between quotes.
func ExactPlaceholder(name string) bool {
	n := slices.IndexFunc(placeholders, func(p placeholder) bool { return p.name == name })
	return name == incidentPlaceholder || n >= 0 && placeholders[n].exact != nil
}

// PlaceholderPattern matches a placeholder. Its group is the name. Templates of other
// programs, such as {{.Names}}, are not placeholders.
var PlaceholderPattern = regexp.MustCompile(`\{\{([A-Za-z0-9_-]+)\}\}`)

// Fill returns the run of an incident with the placeholders of its steps replaced by values
// of an alert.
func (r Run) Fill(id ID, a Alert) Run {
	r.Plan = slices.Clone(r.Plan)
	for n := range r.Plan {
		s := &r.Plan[n]
		s.Detail, s.Action = fillPlaceholders(s.Detail, id, a), fillPlaceholders(s.Action, id, a)
	}
	return r
}

func fillPlaceholders(text string, id ID, a Alert) string {
	return PlaceholderPattern.ReplaceAllStringFunc(text, func(found string) string {
		name := found[2 : len(found)-2]
		if name == incidentPlaceholder {
			return id.String()
		}
		n := slices.IndexFunc(placeholders, func(p placeholder) bool { return p.name == name })
		if n < 0 {
			return found
		}
		if value, ok := placeholders[n].value(a); ok {
			return value
		}
		return found
	})
}

// maxPlaceholderValue is the maximum length of a value. A longer one is not an identifier.
const maxPlaceholderValue = 200

// value returns the value of an alert, quoted for a shell if needed. It returns false
// without a value that can be a word of a command.
func (p placeholder) value(a Alert) (string, bool) {
	value := a.Tags[p.name]
	if value == "" && p.derive != nil {
		value = p.derive(a)
	}
	switch {
	case value == "", len(value) > maxPlaceholderValue, !utf8.ValidString(value), strings.ContainsFunc(value, isUnprintable), PlaceholderPattern.MatchString(value), isInstruction(value):
		return "", false
	case p.exact != nil:
		return value, p.exact(value)
	}
	return shellQuote(value), true
}

// isInstruction reports whether a program could read a value as more than a name: as an
// option, or as the place of a file to read and send, as file:// does for the AWS command
// line and @ for others.
func isInstruction(value string) bool {
	return strings.HasPrefix(value, "-") || strings.HasPrefix(value, "@") || strings.Contains(value, "://")
}

// isUnprintable reports whether a character could hide a part of a command or change its
// order on the screen.
func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }

// shellWord matches values that a shell takes as one word. A "=" at the beginning is the
// path of a program in zsh.
var shellWord = regexp.MustCompile(`^[A-Za-z0-9_./:@,+-][A-Za-z0-9_./:@,+=-]*$`)

// shellQuote returns a value as one word of a POSIX shell.
func shellQuote(s string) string {
	if shellWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
