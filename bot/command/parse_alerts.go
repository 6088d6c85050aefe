package command

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// alertVerbs returns the verbs about alerts, maintenance windows and legal holds.
func alertVerbs() []Spec {
	return []Spec{
		{Name: "alerts", Usage: "[watched | dropped | maintenance] | promote A17 [sev1…sev4] [into INC-42]", Help: "list suppressed alerts, or promote one to an incident",
			Examples: []string{"alerts", "alerts dropped", "alerts promote A17 sev2", "alerts promote A17 into INC-42"}, Next: append(names(incident.Dispositions()), "promote"), read: readAlerts},
		{Name: "explain", Usage: "A17 | D2041", Help: "explain how an alert or delivery was routed: every rule evaluated, with the values compared",
			Examples: []string{"explain A17", "explain D2041"}, read: readExplain},
		{Name: "maintenance", Usage: "[add WHEN CONDITION because REASON | confirm ID | end ID]", Help: "list, add, confirm or end maintenance windows, which suppress alerts for at most 7 days (at sev1 and sev2 only after a second person from security confirmed)",
			Examples: []string{"maintenance", `maintenance add 2h project == "web" because the database moves`,
				`maintenance add 22:00 to 23:30 source == "sentry" because of the release`, "maintenance confirm M3", "maintenance end 3"}, Next: []string{"add", "list", "confirm", "end"}, read: readMaintenance},
		{Name: "split", Usage: "[INC-42] alerts A3,A4 [sev1…sev4] TITLE [because REASON]", Help: "move alerts to a new incident (both timelines stay)",
			Examples: []string{"split alerts A3,A4 Another team uses the old key too", "split INC-42 alerts A3 sev3 The staging key because it is another account"}, Next: []string{"alerts"}, NeedsIncident: true, read: readSplit},
		{Name: "legal-hold", Usage: "[release] because REASON", Help: "set or release a legal hold, which exempts the incident from deletion (legal and security only)",
			Examples: []string{"legal-hold because the regulator asked for it", "legal-hold release because the case is closed"}, Next: []string{"release"}, NeedsIncident: true, read: readLegalHold},
	}
}

func readAlerts(p *argParser, w *Parsed) error {
	if p.take("promote") {
		return readPromote(p, w)
	}
	p.take("list")
	w.Query, w.AlertRequest = incident.QueryAlerts, &incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionWatched}
	word, ok := p.next()
	if !ok {
		return nil
	}
	disposition := incident.Disposition(strings.ToLower(word.text))
	if !slices.Contains(incident.Dispositions(), disposition) {
		return unknownWord(incident.Invalid, "disposition", word.text, append(names(incident.Dispositions()), "promote"),
			"unknown list of alerts %q. Did you mean %q?", "unknown list of alerts %q. Use one of: %s")
	}
	w.AlertRequest.Disposition = disposition
	return nil
}

// readPromote parses "A17 [sev2] [into INC-42]".
func readPromote(p *argParser, w *Parsed) error {
	w.Command.Verb, w.Command.For = incident.VerbPromote, 0
	ids, err := p.alerts()
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return incident.Invalid("alerts", "too many alerts. Promote one, the others with its correlation key are attached with it")
	}
	w.Command.Alerts = ids
	for {
		found, err := p.severity(&w.Command)
		switch {
		case err != nil:
			return err
		case found:
			continue
		case p.take("into", "in", "to"):
			id, ok := p.incident()
			if !ok {
				return incident.Invalid("incident", "no incident given. Type alerts promote A17 into INC-42")
			}
			w.Command.For = id
			continue
		}
		break
	}
	if word, ok := p.peek(); ok {
		return incident.Invalid("severity", "unexpected word %q. Type alerts promote A17 sev2", truncate(word.text))
	}
	return nil
}

var alertWord = regexp.MustCompile(`(?i)^[a#]?(\d{1,18})$`)

// alerts consumes ids of alerts: "A3,A4", "A3, 4 and #5".
func (p *argParser) alerts() ([]int64, error) {
	var out []int64
	for {
		word, ok := p.peek()
		if !ok || word.quoted {
			break
		}
		if len(out) > 0 && strings.EqualFold(word.text, "and") {
			p.next()
			continue
		}
		var found []int64
		for _, part := range strings.FieldsFunc(word.text, func(r rune) bool { return r == ',' || r == ';' }) {
			m := alertWord.FindStringSubmatch(part)
			if m == nil || len(out) > 0 && strings.Trim(part, "0123456789") == "" && !strings.Contains(word.text, ",") {
				found = nil
				break // a title may start with a number
			}
			id, _ := strconv.ParseInt(m[1], 10, 64) // at most 18 digits
			found = append(found, id)
		}
		if len(found) == 0 {
			break
		}
		p.next()
		for _, id := range found {
			if id > 0 && !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	if len(out) == 0 {
		return nil, incident.Invalid("alerts", "no alert given. Type its number, such as A17, or type alerts for a list")
	}
	return out, nil
}

func readExplain(p *argParser, w *Parsed) error {
	w.Query, w.AlertRequest = incident.QueryExplain, &incident.AlertRequest{Query: incident.QueryExplain}
	word, ok := p.next()
	if !ok {
		return p.missing("alert", "%s needs an alert or a delivery. Type %s")
	}
	if m := deliveryWord.FindStringSubmatch(word.text); m != nil {
		w.AlertRequest.Delivery, _ = strconv.ParseInt(m[1], 10, 64) // at most 18 digits
		return nil
	}
	if m := alertWord.FindStringSubmatch(word.text); m != nil {
		w.AlertRequest.Alert, _ = strconv.ParseInt(m[1], 10, 64) // at most 18 digits
		return nil
	}
	return incident.Invalid("alert", "%q is not an alert or a delivery. Type a number such as A17 or D2041", truncate(word.text))
}

var deliveryWord = regexp.MustCompile(`(?i)^d(\d{1,18})$`)

func readMaintenance(p *argParser, w *Parsed) error {
	w.Query, w.AlertRequest = incident.QueryMaintenance, &incident.AlertRequest{Query: incident.QueryMaintenance}
	switch {
	case p.take("add"):
		window, err := p.maintenanceWindow()
		w.AlertRequest.Add = window
		return err
	case p.take("confirm"):
		return p.windowID("confirm", &w.AlertRequest.Confirm)
	case p.take("end", "stop"):
		return p.windowID("end", &w.AlertRequest.End)
	}
	p.take("list")
	if word, ok := p.peek(); ok {
		return unknownWord(incident.Invalid, "maintenance", word.text, []string{"add", "list", "confirm", "end"},
			"unknown word %q after maintenance. Did you mean %q?", "unknown word %q after maintenance. Use one of: %s")
	}
	return nil
}

var windowWord = regexp.MustCompile(`(?i)^[m#]?(\d{1,18})$`)

// windowID parses the id of a maintenance window.
func (p *argParser) windowID(command string, id *int64) error {
	word, _ := p.next()
	m := windowWord.FindStringSubmatch(word.text)
	if m == nil {
		return incident.Invalid("id", "no maintenance window given. Type its number, such as maintenance %s M3, or type maintenance for a list", command)
	}
	*id, _ = strconv.ParseInt(m[1], 10, 64) // at most 18 digits
	if *id == 0 {
		return incident.Invalid("id", "there is no maintenance window M0. Type maintenance for a list")
	}
	return nil
}

// maintenanceWindow parses "WHEN CONDITION because REASON". WHEN is "2h", "until
// 18:00" or "22:00 to 23:30".
func (p *argParser) maintenanceWindow() (*incident.MaintenanceWindow, error) {
	m := &incident.MaintenanceWindow{From: p.Now, Owner: p.Who}
	at := p.pos
	p.take("for")
	if span, ok := p.length(); ok {
		m.To = p.Now.Add(span)
	} else if p.pos = at; p.take("until", "till") {
		if m.To, ok = p.when(future); !ok {
			return nil, p.notTime("when")
		}
	} else {
		p.take("from")
		if m.From, ok = p.when(future); !ok {
			return nil, p.notTime("when")
		}
		p.take("to", "until", "till", "-", "–")
		if m.To, ok = p.when(future); !ok {
			return nil, p.notTime("when")
		}
		for m.To.Before(m.From) && m.From.Sub(m.To) < 24*time.Hour {
			m.To = m.To.AddDate(0, 0, 1) // past midnight
		}
	}
	p.take("when", ":", "-")
	condition, ok := p.cut("because")
	if !ok {
		return nil, incident.Invalid("reason", "the reason is missing. Type %s", p.verb.Examples[1])
	}
	m.When, m.Reason = straightenQuotes(condition), p.freeText()
	return m, nil
}

// straightenQuotes replaces the typographic quotes that phones insert.
func straightenQuotes(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '‘' || r == '’' || r == '‚':
			return '\''
		case isQuote(r):
			return '"'
		}
		return r
	}, s)
}

// readSplit parses "alerts A3,A4 [sev2] TITLE [because REASON]".
func readSplit(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbSplit
	p.take("alerts", "alert")
	ids, err := p.alerts()
	if err != nil {
		return err
	}
	w.Command.Alerts = ids
	if _, err := p.severity(&w.Command); err != nil {
		return err
	}
	if title, ok := p.cut("because"); ok {
		reason := p.freeText()
		p.scanner = scanner{text: title}
		w.Command.Text = reason
	}
	if w.Command.Title, err = p.title(&w.Command); err != nil {
		return err
	}
	if w.Command.Title == "" {
		return incident.Invalid("title", "the title of the new incident is missing. Type split alerts A3,A4 TITLE")
	}
	return nil
}

func readLegalHold(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbSetLegalHold
	if p.take("release", "off", "end") {
		w.Command.Verb = incident.VerbReleaseLegalHold
	}
	p.take("legal-hold")
	w.Command.Text = p.reason()
	return nil
}
