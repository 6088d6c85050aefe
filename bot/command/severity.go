package command

import (
	"regexp"
	"strings"

	"tocsin/bot/incident"
)

// severityWord matches a word that is meant as a severity, valid or not, such as
// sev2, SEV-5, (sev9), p1 and severity=3. A longer number after p is not meant as
// one: "p99 latency" is a title.
var severityWord = regexp.MustCompile(`(?i)^[([{*]*(?:sev(?:erity)?[-–—−_#=:.]*\p{Nd}.*|p[-–—−]?\p{Nd})[])}*,;:.!]*$`)

// severityName matches a word that announces a severity, such as sev in "sev 2".
var severityName = regexp.MustCompile(`(?i)^(?:--?|—|–)?sev(?:erity)?[:=]?$`)

// severityNumber matches the number of a severity after its name.
var severityNumber = regexp.MustCompile(`^[-–—−#]?\p{Nd}+[])}*,;:.!]*$`)

// severity consumes a severity, such as "sev2" or "severity 2", and reports whether
// there is one. A word that is meant as a severity and is none is an error, because
// as part of a text it would silently give the incident another severity.
func (p *parser) severity(c *incident.Command) (bool, error) {
	at := p.pos
	word, ok := p.next()
	if ok && !word.quoted && severityName.MatchString(word.text) {
		if next, more := p.next(); more && (severityNumber.MatchString(next.text) || severityWord.MatchString(next.text)) {
			word = next
			if severityNumber.MatchString(word.text) {
				word.text = "sev" + strings.TrimLeft(word.text, "#")
			}
		}
	}
	if !ok || word.quoted || !severityWord.MatchString(word.text) {
		p.pos = at
		return false, nil
	}
	s, err := parseSeverityWord(word.text)
	c.Severity = s
	return err == nil, err
}

// severityOnce is severity with an error if the command has another one already.
func (p *parser) severityOnce(c *incident.Command) (bool, error) {
	have := c.Severity
	found, err := p.severity(c)
	if found && have != "" && have != c.Severity {
		return false, incident.Invalid("severity", "two severities: %s and %s. Type one of them", have, c.Severity)
	}
	return found, err
}

// parseSeverityWord parses a severity with the punctuation that people type.
func parseSeverityWord(word string) (incident.Severity, error) {
	t := strings.Trim(word, "([{*])},;:.!")
	s, err := incident.ParseSeverity(strings.Map(func(r rune) rune {
		if strings.ContainsRune("–—−_#=:.", r) {
			return '-'
		}
		return r
	}, t))
	if err != nil {
		return "", incident.Invalid("severity", "unknown severity %q. Use sev1 (most severe), sev2, sev3 or sev4", truncate(word))
	}
	return s, nil
}

// title consumes the remaining text as a title. Quotes around the whole title hide
// a severity at its beginning from the scanner, so title consumes the severity.
func (p *parser) title(c *incident.Command) (string, error) {
	title := p.freeText()
	if c.Severity != "" || p.field {
		return title, nil
	}
	inner := p.inner(title)
	found, err := inner.severity(c)
	if err != nil || !found {
		return title, err
	}
	return inner.rest(), nil
}

func writeSeverity(w *Parsed) string { return string(w.Command.Severity) }

// severityArg is the severity of an incident that may also be left out.
var severityArg = Arg{write: writeSeverity, Name: "severity", Usage: "[sev1…sev4]", Next: names(incident.Severities()), part: severityPart,
	read: func(p *parser, w *Parsed) (bool, error) { return p.severity(&w.Command) }}

// ackSeverityArg is the severity of an acknowledgement. A misspelt one is not the text
// of the acknowledgement.
var ackSeverityArg = Arg{write: writeSeverity, Name: "severity", Usage: "[INC-42] [sev1…sev4]", Next: severityArg.Next, read: func(p *parser, w *Parsed) (bool, error) {
	found, err := p.severity(&w.Command)
	if found || err != nil {
		return found, err
	}
	word, ok := p.peek()
	if ok && !word.quoted && incidentNumber.MatchString(word.text) {
		return false, incident.Invalid("incident", "%q is not clear as an incident. Type INC-%s", truncate(word.text), strings.Trim(word.text, "#,:"))
	}
	if ok && strings.HasPrefix(strings.ToLower(word.text), "sev") {
		_, err = parseSeverityWord(word.text)
	}
	return false, err
}}

// newSeverityArg is the severity that an incident gets. The next word is one.
var newSeverityArg = Arg{write: writeSeverity, Name: "severity", Usage: "sev1…sev4", Next: severityArg.Next, part: severityPart, read: func(p *parser, w *Parsed) (bool, error) {
	p.take("to", "is", "=")
	found, err := p.severity(&w.Command)
	if found || err != nil {
		return found, err
	}
	word, ok := p.next()
	if !ok {
		return false, nil
	}
	w.Command.Severity, err = parseSeverityWord(word.text)
	return err == nil, err
}}
