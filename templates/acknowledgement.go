package templates

import (
	"strings"
	"text/template"

	"tocsin/bot/incident"
)

var acknowledgement = template.Must(template.New("acknowledgement.txt.tmpl").ParseFS(templateFiles, "acknowledgement.txt.tmpl"))

// AcknowledgementMail returns the mail that confirms the receipt of a
// vulnerability report. It contains neither the content of the report nor its
// status, because anyone can enter the address of another person into a report.
func AcknowledgementMail(r incident.Reply) Message {
	var text strings.Builder
	if err := acknowledgement.Execute(&text, r); err != nil { // fails only if the template is wrong
		panic("templates: acknowledgement.txt.tmpl: " + err.Error())
	}
	return Message{Subject: "Your vulnerability report " + r.Reference + " has been received", Text: text.String()}
}
