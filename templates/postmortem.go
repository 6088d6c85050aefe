package templates

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"

	"tocsin/bot/incident"
)

// Input is the data of a postmortem.
type Input struct {
	Incident  incident.Incident  // with its submission and signatures
	Timeline  []incident.Event   // complete, including events after the signatures
	Directory incident.Directory // for names
	Revision  int                // of the record, or 0 for the submitted one
	Written   time.Time
	// Alerts counts all alerts, also those that the timeline does not list.
	Alerts incident.AlertCount
	// Copy marks a redacted copy for readers outside of Tocsin, or a copy without texts
	// that its readers may not read. Its texts cannot match the signed digest. The caller
	// checks the record itself.
	Copy bool
	// Withheld is the number of events whose texts are for legal and security only. A
	// copy names it.
	Withheld int
	// Checkpoint is the newest signed checkpoint of the notary, or "".
	Checkpoint string
}

//go:embed *.tmpl
var templateFiles embed.FS

var (
	markdownFuncs = template.FuncMap{"md": escapeMarkdown, "quote": blockQuote, "cell": tableCell, "short": shortDigest}
	htmlFuncs     = htmltemplate.FuncMap{"prose": proseHTML, "short": shortDigest}

	markdownPage = template.Must(template.New("postmortem.md.tmpl").Funcs(markdownFuncs).ParseFS(templateFiles, "postmortem.md.tmpl"))
	htmlPage     = htmltemplate.Must(htmltemplate.New("postmortem.html.tmpl").Funcs(htmlFuncs).ParseFS(templateFiles, "postmortem.html.tmpl", "timeline.svg.tmpl"))
)

// postmortemFormats are the formats of a postmortem, in the order of its files.
var postmortemFormats = []struct {
	name, extension, mediaType string
	page                       interface {
		Execute(w io.Writer, data any) error
	}
}{
	{"Markdown", "md", "text/markdown", markdownPage},
	{"HTML", "html", "text/html", htmlPage},
}

// Postmortem renders a closing record that every required department has signed.
// The document contains the record, the signed part of the timeline, the
// signatures and an appendix with the later events.
//
// It returns an [*incident.Error] if the record does not match the signed digest,
// if it is not fully signed, or if the timeline does not match the signed head.
func Postmortem(in Input) (incident.Document, error) {
	if err := checkSigned(in); err != nil {
		return incident.Document{}, fmt.Errorf("write postmortem of %s: %w", in.Incident.ID, err)
	}
	p := newPage(in)
	id := in.Incident.ID
	doc := incident.Document{Revision: p.Revision, Digest: p.Digest}
	for _, f := range postmortemFormats {
		var content bytes.Buffer
		if err := f.page.Execute(&content, p); err != nil {
			return incident.Document{}, fmt.Errorf("render postmortem of %s as %s: %w", in.Incident.ID, f.name, err)
		}
		doc.Files = append(doc.Files, incident.File{Name: fmt.Sprintf("%s-postmortem-r%d.%s", id, p.Revision, f.extension),
			Title: in.Incident.Origin.Marked(fmt.Sprintf("Postmortem of %s (%s)", id, f.name)), MediaType: f.mediaType, Content: tidy(content.String())})
	}
	return doc, nil
}

func checkSigned(in Input) error {
	sub := in.Incident.Submission
	switch {
	case sub == nil:
		return incident.Conflict("%s has no submitted record. Submit it first", in.Incident.ID)
	case !in.Copy && sub.Document.Digest() != sub.Digest:
		return incident.Stale("the record does not match the signed digest %s. Submit and sign it again", sub.Digest)
	case in.Revision != 0 && in.Revision != sub.Document.Revision:
		return incident.Stale("revision %d is not the signed revision. Use revision %d", in.Revision, sub.Document.Revision)
	}
	if unsigned, objections, unanswered := in.Incident.Missing(); len(unsigned)+len(objections)+len(unanswered) > 0 {
		return incident.Conflict("the record of %s is not fully signed. All four departments must sign, and all objections and required consultations must be closed", in.Incident.ID)
	}
	if !matchesHead(in.Timeline, sub.Document) {
		return incident.Stale("the timeline does not match the signed head. Run `tocsin verify` to find the change")
	}
	return nil
}

// matchesHead reports whether a timeline reaches the signed head and contains its hash.
// The caller may have left out events that the readers must not know, the last signed
// one too. A later event must follow then.
func matchesHead(timeline []incident.Event, doc incident.SignedDocument) bool {
	n := slices.IndexFunc(timeline, func(e incident.Event) bool { return e.Seq >= doc.Events })
	return doc.Events == 0 || n >= 0 && (timeline[n].Seq > doc.Events || timeline[n].Hash == doc.Head)
}

// tidy removes trailing blanks from lines, and empty lines at the start and after
// another empty line. The result ends with one line break.
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

// tableCell returns s escaped for a cell of a Markdown table, or a dash if it is
// empty.
func tableCell(s string) string {
	if s = escapeMarkdown(s); s == "" {
		return "–"
	}
	return s
}

// shortDigest returns the first 12 hexadecimal digits of a digest.
func shortDigest(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return hex[:min(len(hex), 12)]
}
