package templates

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"text/template"
	"time"

	"tocsin/bot/incident"
)

// Input is what a postmortem is written from.
type Input struct {
	Incident  incident.Incident  // with its submission and signatures
	Timeline  []incident.Event   // whole; what is signed is told from what came later
	Directory incident.Directory // for names
	Revision  int                // of the record; 0 takes the submission's
	Written   time.Time
}

//go:embed *.tmpl
var files embed.FS

var (
	markdownFuncs = template.FuncMap{"md": md, "quote": quote, "cell": cell, "short": short}
	htmlFuncs     = htmltemplate.FuncMap{"prose": proseHTML, "short": short}

	markdownPage = template.Must(template.New("postmortem.md.tmpl").Funcs(markdownFuncs).ParseFS(files, "postmortem.md.tmpl"))
	htmlPage     = htmltemplate.Must(htmltemplate.New("postmortem.html.tmpl").Funcs(htmlFuncs).ParseFS(files, "postmortem.html.tmpl", "timeline.svg.tmpl"))
)

// Postmortem renders the document of a record that every required department
// has signed: from the record and the signed part of the timeline, then the
// signatures, then, marked as such, what happened after the record was frozen.
// It refuses a record whose digest is not the one that was signed, one that is
// not fully signed, and a timeline that is not the one under the signed head.
func Postmortem(in Input) (incident.Document, error) {
	if err := check(in); err != nil {
		return incident.Document{}, fmt.Errorf("write the postmortem of %s: %w", in.Incident.ID, err)
	}
	p := newPage(in)
	var text, page bytes.Buffer
	if err := markdownPage.Execute(&text, p); err != nil {
		return incident.Document{}, fmt.Errorf("write the postmortem of %s as Markdown: %w", in.Incident.ID, err)
	}
	if err := htmlPage.Execute(&page, p); err != nil {
		return incident.Document{}, fmt.Errorf("write the postmortem of %s as HTML: %w", in.Incident.ID, err)
	}
	return incident.Document{Revision: p.Revision, Digest: p.Digest, Markdown: tidy(text.String()), HTML: tidy(page.String())}, nil
}

func check(in Input) error {
	sub := in.Incident.Submission
	switch {
	case sub == nil:
		return incident.Conflict("%s has no submitted record", in.Incident.ID)
	case sub.Document.Digest() != sub.Digest:
		return incident.Stale("the record is not the one under %s", sub.Digest)
	case in.Revision != 0 && in.Revision != sub.Document.Revision:
		return incident.Stale("revision %d was asked for, revision %d is the one that is signed", in.Revision, sub.Document.Revision)
	}
	if unsigned, objections, unanswered := in.Incident.Missing(); len(unsigned)+len(objections)+len(unanswered) > 0 {
		return incident.Conflict("the record of %s is not fully signed", in.Incident.ID)
	}
	events := sub.Document.Events
	if len(in.Timeline) < events || events > 0 && (in.Timeline[events-1].Seq != events || in.Timeline[events-1].Hash != sub.Document.Head) {
		return incident.Stale("the timeline is not the one under the signed head")
	}
	return nil
}

// tidy ends every line without blanks and leaves no two empty lines.
func tidy(s string) string {
	var out []string
	for _, line := range strings.Split(s, "\n") {
		line = strings.TrimRight(line, " \t")
		if line == "" && (len(out) == 0 || out[len(out)-1] == "") {
			continue
		}
		out = append(out, line)
	}
	return strings.TrimRight(strings.Join(out, "\n"), "\n") + "\n"
}

// cell is md for a table's cell, which must not be empty.
func cell(s string) string {
	if s = md(s); s == "" {
		return "–"
	}
	return s
}

// short is a digest as people compare it.
func short(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return hex[:min(len(hex), 12)]
}
