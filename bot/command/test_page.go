package command

import (
	"strings"

	"tocsin/bot/incident"
)

// testPageSyntax is "page test", which needs no incident.
var testPageSyntax = Syntax{Query: incident.QueryTestPage, Words: []string{"test"},
	Args: []Arg{incidentArg, {Name: "page_test", Usage: "[list | ack CODE]", Next: []string{"list", "ack"}, read: readTestPage, write: writeTestPage}}}

func readTestPage(p *parser, w *Parsed) (bool, error) {
	w.AlertRequest = &incident.AlertRequest{Query: incident.QueryTestPage}
	switch {
	case p.atEnd():
		w.AlertRequest.Test.Start = true
	case p.take("list"):
	case p.take("ack", "acknowledge"):
		code, ok := p.next()
		if !ok {
			return false, incident.Invalid("code", "no code given. Type page test ack and the code in the test page")
		}
		w.AlertRequest.Test.Code = strings.ToUpper(code.text)
	default:
		word, _ := p.next()
		return false, unknownWord(incident.Invalid, "page_test", word.text, []string{"list", "ack"},
			"unknown word %q after page test. Did you mean %s?", "unknown word %q after page test. Use one of: %s")
	}
	return true, nil
}

func writeTestPage(w *Parsed) string {
	switch test := w.AlertRequest.Test; {
	case test.Start:
		return ""
	case test.Code != "":
		return "ack " + test.Code
	}
	return "list"
}
