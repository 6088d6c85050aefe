package mail

import (
	"fmt"
	"strings"
	"text/template"
	"time"
)

var functions = template.FuncMap{
	"flat": flat,
	"utc":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
}

func parse(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(functions).Parse(text))
}

// A page says what a person needs to decide whether to get up. Of a restricted
// incident, that is its id and severity.
var pageText = parse("page", `{{.Incident.ID}} {{.Incident.Severity}} needs somebody now. Nobody has it yet.
{{- if and (not .Incident.Restricted) .Incident.Title}}

{{flat .Incident.Title}}
{{- end}}

Opened {{utc .Incident.OpenedAt}}. To take it, press "I have it" in its channel, or type
    /incident ack {{.Incident.ID}}
{{- if and (not .Incident.Restricted) .Incident.Alerts}}

Alerts:
{{- range .Incident.Alerts}}
  - {{.Level}} {{flat .Title}}{{if .URL}}
    {{.URL}}{{end}}
{{- end}}
{{- end}}
{{- if .Incident.Head.Hash}}

Timeline up to here: {{.Incident.Head.Seq}} {{.Incident.Head.Hash}}
{{- end}}
`)

var invitationText = parse("invitation", `The postmortem of {{.Incident.ID}} is reviewed on {{utc .Start}}.

The meeting goes through the signed record and ends with decisions: who was there,
what was decided, and which actions follow, at least one for detection and one for
prevention, each with an owner and a due date.
{{- if .Incident.Head.Hash}}

Timeline up to here: {{.Incident.Head.Seq}} {{.Incident.Head.Hash}}
{{- end}}
`)

func write(t *template.Template, data any) (string, error) {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("write the %s mail: %w", t.Name(), err)
	}
	return b.String(), nil
}
