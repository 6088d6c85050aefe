package templates

import (
	"fmt"
	"strings"

	"tocsin/bot/incident"
)

// secondsLayout is the format of times in a trail, in UTC.
const secondsLayout = "2006-01-02 15:04:05"

// trailLines answers a question about the stored records: a summary, the alerts, the events
// of the page, and everything that is missing.
func trailLines(t incident.Trail) []string {
	q := t.Question
	subject := fmt.Sprintf("%s %s, %s to %s UTC", q.Kind, clip(oneLine(q.Value), 150), q.From.UTC().Format(secondsLayout), q.To.UTC().Format(secondsLayout))
	out := []string{subject + ": no event in the records that you may read."}
	if t.Count > 0 {
		out[0] = fmt.Sprintf("%s: %s, first %s, last %s.", subject, plural(t.Count, "event"), t.First.UTC().Format(secondsLayout), t.Last.UTC().Format(secondsLayout))
	}
	for _, part := range []struct {
		label string
		list  []incident.Tally
	}{{"Calls", t.Calls}, {"Regions", t.Regions}, {"Addresses", t.Addresses}, {"User agents", t.UserAgents}, {"Principals", t.Principals}, {"Access keys", t.AccessKeys}, {"Accounts", t.Accounts}} {
		if line := tallyLine(part.list); line != "" {
			out = append(out, part.label+": "+line)
		}
	}
	if len(t.Incidents) > 0 {
		names := make([]string, len(t.Incidents))
		for n, id := range t.Incidents {
			names[n] = id.String()
		}
		out = append(out, "Incidents: "+strings.Join(names, ", "))
	}
	for _, a := range t.Alerts {
		line := "Alert " + AlertLine(a.AlertLine)
		if a.Incident > 0 {
			line += " · " + a.Incident.String()
		}
		out = append(out, line)
	}
	for _, e := range t.Events {
		out = append(out, trailEvent(e))
	}
	return append(out, trailLimits(t)...)
}

// maxTallied is how many values one line of a summary names.
const maxTallied = 6

func tallyLine(list []incident.Tally) string {
	var out []string
	for _, t := range list[:min(len(list), maxTallied)] {
		out = append(out, fmt.Sprintf("%s (%d)", clip(oneLine(t.Value), 120), t.Count))
	}
	if more := len(list) - maxTallied; more > 0 {
		out = append(out, fmt.Sprintf("and %d others", more))
	}
	return strings.Join(out, ", ")
}

// trailEvent returns one line about an event.
func trailEvent(e incident.TrailEvent) string {
	parts := []string{e.At.UTC().Format(secondsLayout), clip(oneLine(e.Call), 100)}
	if e.Result != "" {
		parts = append(parts, "failed: "+clip(oneLine(e.Result), 80))
	}
	for _, text := range []string{e.Principal, e.AccessKey, e.Address, e.Region} {
		if text != "" {
			parts = append(parts, clip(oneLine(text), 120))
		}
	}
	parts = append(parts, fmt.Sprintf("D%d", e.Delivery))
	if e.Alert > 0 {
		parts = append(parts, fmt.Sprintf("A%d", e.Alert))
	}
	if e.Incident > 0 {
		parts = append(parts, e.Incident.String())
	}
	return e.Origin.Marked(strings.Join(parts, " · "))
}

// trailLimits returns the limits of the answer, and how to see more.
func trailLimits(t incident.Trail) (out []string) {
	if q := t.Question; t.Pages > 1 {
		line := fmt.Sprintf("Page %d of %d.", q.Page, t.Pages)
		if q.Page < t.Pages {
			line += fmt.Sprintf(" Add page %d for the next events.", q.Page+1)
		}
		out = append(out, line)
	}
	searched := fmt.Sprintf("Searched: %s up to %s.", pluralIes(t.Deliveries, "deliver"), t.SearchedTo.UTC().Format(secondsLayout))
	if t.Next > 0 {
		searched += fmt.Sprintf(" The period has more deliveries. Add after D%d to search the rest, or use tocsin ask on the command line.", t.Next)
	}
	out = append(out, searched)
	if t.Unread > 0 {
		out = append(out, fmt.Sprintf("Cannot be decoded: %s with this value. Events of them can be missing.", pluralIes(t.Unread, "deliver")))
	}
	if t.AlertsAreCut {
		out = append(out, "There can be more alerts than these.")
	}
	return append(out, "The answer has only records and alerts that you may read.")
}

// pluralIes returns a number with a noun that ends in y, without the y.
func pluralIes(n int, stem string) string {
	if n == 1 {
		return "1 " + stem + "y"
	}
	return fmt.Sprintf("%d %sies", n, stem)
}
