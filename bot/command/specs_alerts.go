package command

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// alertSpecs are the commands about alerts, maintenance windows and legal holds.
var alertSpecs = []Spec{
	{Name: "alerts", Help: "list suppressed alerts, or promote one to an incident",
		Examples: []string{"alerts", "alerts dropped", "alerts promote A17 sev2", "alerts promote A17 into INC-42"},
		Syntaxes: []Syntax{
			{Query: incident.QueryAlerts, Args: []Arg{skipWords("list"),
				{Name: "disposition", Usage: "[watched | dropped | maintenance]", Next: names(incident.Dispositions()), read: readDisposition, write: writeDisposition}}},
			{Verb: incident.VerbPromote, Words: []string{"promote"}, Args: []Arg{
				Arg{Name: "alerts", Usage: "A17", read: readOneAlert, write: writeAlerts}.ask(),
				{Name: "severity", Usage: "[sev1…sev4] [into INC-42]", read: readPromoteOptions, write: writePromoteOptions}},
				Form: &FormSpec{Title: "Promote an alert", Submit: "Promote", NeedsAlerts: true, NeedsOthers: true,
					fill: inOrder(listSuppressed, listOthers("incident"), explainIfEmpty("alerts", "No alert is suppressed.%.0s")), Fields: []Field{
						alertArg.choice("Which suppressed alert?"),
						severityArg.radio("Severity", severities...).optional().hint("Empty means the severity of its routing rule."),
						formIncidentArg.choice("Attach the alert to which incident?").optional().hint("Empty opens a new incident."),
					}},
				result: promoted},
		}},

	{Name: "explain", Help: "explain how an alert or delivery was routed: every rule evaluated, with the values compared",
		Examples: []string{"explain A17", "explain D2041"},
		Syntaxes: []Syntax{{Query: incident.QueryExplain, Args: []Arg{{Name: "alert", Usage: "A17 | D2041", read: readExplained, write: writeExplained}}}}},

	{Name: "maintenance",
		Help: "list, add, confirm or end maintenance windows, which suppress alerts for at most 7 days (at sev1 and sev2 only after a second person from security confirmed)",
		Examples: []string{"maintenance", `maintenance add 2h project == "web" because the database moves`,
			`maintenance add 22:00 to 23:30 source == "sentry" because of the release`, "maintenance confirm M3", "maintenance end 3"},
		usage: "[add WHEN CONDITION because REASON | confirm ID | end ID]",
		Syntaxes: []Syntax{
			{Query: incident.QueryMaintenance, Words: []string{"add"}, Args: []Arg{{Name: "when", read: readWindow, write: writeWindow}},
				canonical: func(w *Parsed) bool { return w.AlertRequest.Add != nil }},
			{Query: incident.QueryMaintenance, Words: []string{"list"}, Bare: true, Args: []Arg{{Name: "maintenance", read: readNoWindow}},
				canonical: func(w *Parsed) bool {
					return w.AlertRequest.Add == nil && w.AlertRequest.Confirm+w.AlertRequest.End == 0
				}},
			{Query: incident.QueryMaintenance, Words: []string{"confirm"}, Args: []Arg{windowIDArg("confirm", func(r *incident.AlertRequest) *int64 { return &r.Confirm })},
				canonical: func(w *Parsed) bool { return w.AlertRequest.Confirm != 0 }},
			{Query: incident.QueryMaintenance, Words: []string{"end", "stop"}, Args: []Arg{windowIDArg("end", func(r *incident.AlertRequest) *int64 { return &r.End })},
				canonical: func(w *Parsed) bool { return w.AlertRequest.End != 0 }},
		}},

	{Name: "split", Help: "move alerts to a new incident (both timelines stay)", NeedsIncident: true,
		Examples: []string{"split alerts A3,A4 Another team uses the old key too", "split INC-42 alerts A3 sev3 The staging key because it is another account"},
		Syntaxes: []Syntax{{Verb: incident.VerbSplit, Args: []Arg{
			Arg{Name: "alerts", Usage: "[INC-42] alerts A3,A4", Next: []string{"alerts"}, read: readAlertIDs, write: func(w *Parsed) string { return "alerts " + writeAlerts(w) }}.ask(),
			severityArg, Arg{Name: "title", Usage: "TITLE [because REASON]", read: readNewTitle, write: func(w *Parsed) string {
				return introduce("", w.Command.Title) + strings.TrimRight(" "+writeBecause(w), " ")
			}}.ask()},
			Form: &FormSpec{Title: "Split the incident", Submit: "Split", NeedsState: true, fill: inOrder(listAlerts, explainIfEmpty("alerts", "%s has no alerts to move.")), Fields: []Field{
				alertArg.many("Which alerts move to the new incident?"),
				newTitleArg.input(KindLine, "Title of the new incident"),
				severityArg.radio("Severity of the new incident", severities...).optional().hint("Empty means the severity of this incident."),
				textArg.input(KindProse, "Why?").optional(),
			}},
			result: split}}},

	{Name: "legal-hold", Help: "set or release a legal hold, which exempts the incident from deletion (legal and security only)", NeedsIncident: true,
		Examples: []string{"legal-hold because the regulator asked for it", "legal-hold release because the case is closed"},
		usage:    "[release] because REASON",
		Syntaxes: []Syntax{
			{Verb: incident.VerbSetLegalHold, Args: []Arg{becauseArg},
				result: done("%s is on legal hold. Retention deletes nothing until the hold is released")},
			{Verb: incident.VerbReleaseLegalHold, Words: []string{"release", "off", "end"}, Args: []Arg{becauseArg},
				result: done("The legal hold of %s is released")},
		}},
}

// alertArg is one alert, in a form.
var alertArg = Arg{Name: "alerts", read: func(p *parser, w *Parsed) (bool, error) {
	ids, err := p.alerts()
	w.Command.Alerts = append(w.Command.Alerts, ids...)
	return err == nil, err
}, value: func(c FormContext) string {
	return strings.ReplaceAll(writeAlerts(&Parsed{Command: c.Given}), ",", " ")
}}

// formIncidentArg is the incident of the command, in a form.
var formIncidentArg = Arg{Name: "incident", read: func(p *parser, w *Parsed) (bool, error) {
	id, err := incident.ParseID(p.rest())
	w.Command.For = id
	return err == nil, err
}, value: func(c FormContext) string {
	if c.Given.For == 0 {
		return ""
	}
	return c.Given.For.String()
}}

// newTitleArg is the title of the new incident, in a form.
var newTitleArg = Arg{Name: "title", part: titlePart}

func writeDisposition(w *Parsed) string { return string(w.AlertRequest.Disposition) }

func writePromoteOptions(w *Parsed) string {
	out := string(w.Command.Severity)
	if w.Command.For != 0 {
		out += " into " + w.Command.For.String()
	}
	return strings.TrimSpace(out)
}

func writeExplained(w *Parsed) string {
	if w.AlertRequest.Delivery != 0 {
		return "D" + strconv.FormatInt(w.AlertRequest.Delivery, 10)
	}
	return "A" + strconv.FormatInt(w.AlertRequest.Alert, 10)
}

func readDisposition(p *parser, w *Parsed) (bool, error) {
	w.AlertRequest = &incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionWatched}
	word, ok := p.next()
	if !ok {
		return true, nil
	}
	disposition := incident.Disposition(strings.ToLower(word.text))
	if !slices.Contains(incident.Dispositions(), disposition) {
		return false, unknownWord(incident.Invalid, "disposition", word.text, append(names(incident.Dispositions()), "promote"),
			"unknown list of alerts %q. Did you mean %s?", "unknown list of alerts %q. Use one of: %s")
	}
	w.AlertRequest.Disposition = disposition
	return true, nil
}

func readAlertIDs(p *parser, w *Parsed) (bool, error) {
	p.take("alerts", "alert")
	ids, err := p.alerts()
	w.Command.Alerts = ids
	return err == nil, err
}

func readOneAlert(p *parser, w *Parsed) (bool, error) {
	ids, err := p.alerts()
	if err != nil {
		return false, err
	}
	if len(ids) != 1 {
		return false, incident.Invalid("alerts", "too many alerts. Promote one, the others with its correlation key are attached with it")
	}
	w.Command.Alerts = ids
	return true, nil
}

// readPromoteOptions reads "[sev2] [into INC-42]", in any order.
func readPromoteOptions(p *parser, w *Parsed) (bool, error) {
	var into incident.ID
	for {
		found, err := p.severityOnce(&w.Command)
		switch {
		case err != nil:
			return false, err
		case found:
			continue
		case p.take("into", "in", "to"):
			id, ok := p.incident()
			if !ok {
				return false, incident.Invalid("incident", "no incident given. Type alerts promote A17 into INC-42")
			}
			if into != 0 && into != id {
				return false, incident.Invalid("incident", "two incidents: %s and %s. Type one of them", into, id)
			}
			into = id
			w.Command.For = id
			continue
		}
		if word, ok := p.peek(); ok {
			return false, incident.Invalid("severity", "unexpected word %q. Type alerts promote A17 sev2", truncate(word.text))
		}
		return true, nil
	}
}

var alertWord = regexp.MustCompile(`(?i)^[a#]?(\d{1,18})$`)

// alerts consumes ids of alerts: "A3,A4", "A3, 4 and #5".
func (p *parser) alerts() ([]int64, error) {
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

// readExplained reads an alert or a delivery.
func readExplained(p *parser, w *Parsed) (bool, error) {
	w.AlertRequest = &incident.AlertRequest{Query: incident.QueryExplain}
	word, ok := p.next()
	if !ok {
		return false, p.missing("alert", "%s needs an alert or a delivery. Type %s")
	}
	if m := deliveryWord.FindStringSubmatch(word.text); m != nil {
		w.AlertRequest.Delivery, _ = strconv.ParseInt(m[1], 10, 64) // at most 18 digits
		return true, nil
	}
	if m := alertWord.FindStringSubmatch(word.text); m != nil {
		w.AlertRequest.Alert, _ = strconv.ParseInt(m[1], 10, 64) // at most 18 digits
		return true, nil
	}
	return false, incident.Invalid("alert", "%q is not an alert or a delivery. Type a number such as A17 or D2041", truncate(word.text))
}

var deliveryWord = regexp.MustCompile(`(?i)^d(\d{1,18})$`)

// readNewTitle reads "TITLE [because REASON]" of the new incident.
func readNewTitle(p *parser, w *Parsed) (given bool, err error) {
	if title, ok := p.cut("because"); ok {
		w.Command.Text = p.freeText()
		p = p.inner(title)
	}
	if w.Command.Title, err = p.title(&w.Command); err != nil {
		return false, err
	}
	if w.Command.Title == "" {
		return false, incident.Invalid("title", "the title of the new incident is missing. Type split alerts A3,A4 TITLE")
	}
	return true, nil
}
