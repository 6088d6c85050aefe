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
func (p *argParser) severity(c *incident.Command) (bool, error) {
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
func (p *argParser) title(c *incident.Command) (string, error) {
	title := p.freeText()
	if c.Severity != "" {
		return title, nil
	}
	inner := &argParser{scanner: scanner{text: title}, Context: p.Context, verb: p.verb}
	found, err := inner.severity(c)
	if err != nil || !found {
		return title, err
	}
	return inner.rest(), nil
}

func readAck(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbAcknowledge
	if _, err := p.severity(&w.Command); err != nil {
		return err
	}
	if word, ok := p.peek(); ok && w.Command.Severity == "" && strings.HasPrefix(strings.ToLower(word.text), "sev") {
		_, err := parseSeverityWord(word.text)
		return err
	}
	w.Command.Text = p.freeText()
	return nil
}

// readSeverity parses "sev2 [because REASON]" and "keep [because REASON]".
func readSeverity(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbSetSeverity
	if p.take("keep", "kept", "stay", "leave", "unchanged") {
		w.Command.Verb, w.Command.Text = incident.VerbKeepSeverity, p.reason()
		return nil
	}
	p.take("to", "is", "=")
	found, err := p.severity(&w.Command)
	if err != nil {
		return err
	}
	if !found {
		word, ok := p.next()
		if !ok {
			w.Form = incident.VerbSetSeverity
			return nil
		}
		if w.Command.Severity, err = parseSeverityWord(word.text); err != nil {
			return err
		}
	}
	w.Command.Text = p.reason()
	return nil
}

// statement matches the statement that no personal data is involved, typed as one
// word, such as no-personal-data, --no_personal_data or no-pii.
var statement = regexp.MustCompile(`(?i)^(?:-{1,2}|—|–)?(?:no|without)[-–—_]?(?:personal[-–—_]?data|pii)[,;:.]*$`)

// spacedStatement matches the statement typed as several words at the beginning of
// the reason. A reason such as "no personal data was checked" states nothing.
var spacedStatement = regexp.MustCompile(`(?i)^(?:no|without)\s+personal[\s-]+data\s*(?:$|[,;:.]\s*|[-–—]\s+|because\b\s*)`)

// readDismiss parses "[no-personal-data] because WHY". The statement may also be the
// last word.
func readDismiss(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbDismiss
	if err := p.happenedAt(&w.Command); err != nil {
		return err
	}
	text := p.reason()
	if first, rest, _ := strings.Cut(text, " "); statement.MatchString(first) {
		w.Command.NoPersonalData, text = true, strings.TrimSpace(rest)
	}
	if found := spacedStatement.FindString(text); found != "" {
		w.Command.NoPersonalData, text = true, text[len(found):]
	}
	if n := strings.LastIndexFunc(text, isSpace); n >= 0 && statement.MatchString(strings.TrimSpace(text[n:])) {
		w.Command.NoPersonalData, text = true, strings.TrimRight(strings.TrimSpace(text[:n]), ",;:")
	}
	if w.Command.Text = (&argParser{scanner: scanner{text: text}, Context: p.Context}).reason(); w.Command.Text == "" {
		w.Form = incident.VerbDismiss
	}
	return nil
}
