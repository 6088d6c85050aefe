package templates

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"

	"tocsin/bot/incident"
)

// tracksTemplate is the picture alone. It has no style: the page has the classes.
var tracksTemplate = htmltemplate.Must(htmltemplate.New("timeline.svg.tmpl").ParseFS(templateFiles, "timeline.svg.tmpl"))

// Tracks returns the picture of a timeline for a page of Tocsin. The timeline must be without
// the texts that the reader may not read.
func Tracks(inc incident.Incident, timeline []incident.Event, dir incident.Directory) (htmltemplate.HTML, error) {
	if inc.Submission == nil {
		inc.Submission = &incident.Submission{Digest: "none"}
	}
	w := pageBuilder{Input: Input{Incident: inc, Timeline: timeline, Directory: dir}, showRestricted: true}
	var out bytes.Buffer
	if err := tracksTemplate.ExecuteTemplate(&out, "timeline", w.drawTimeline(timeline)); err != nil {
		return "", fmt.Errorf("draw the timeline: %w", err)
	}
	return htmltemplate.HTML(out.String()), nil //nolint:gosec // of a template that escapes
}

// Phrase returns an event as one line of plain English without a full stop, and the text that
// a person wrote about it, which may have several lines.
func Phrase(e incident.Event, dir incident.Directory) (line, text string) { return phrase(e, dir) }
