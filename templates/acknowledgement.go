package templates

import (
	"strings"
	"text/template"

	"tocsin/bot/incident"
)

var acknowledgement = template.Must(template.New("acknowledgement.txt.tmpl").ParseFS(files, "acknowledgement.txt.tmpl"))

// AcknowledgementMail tells a reporter that the report arrived. Nothing of what
// was reported is in it, nor of what became of it: whoever writes a stranger's
// address into a report makes us send that stranger a few sentences of ours.
func AcknowledgementMail(r incident.Reply) Message {
	var text strings.Builder
	if err := acknowledgement.Execute(&text, r); err != nil { // the template is our own
		panic("templates: acknowledgement.txt.tmpl: " + err.Error())
	}
	return Message{Subject: "Your vulnerability report " + r.Reference + " has been received", Text: text.String()}
}
