package incident

import (
	"maps"
	"slices"
	"time"
)

// TimelinePageSize is the number of events on a page of a timeline.
const TimelinePageSize = 20

// TimelineFilter selects events of a timeline. The zero filter selects all.
type TimelineFilter struct {
	Topic  string    // of [TimelineTopics], or ""
	Person PersonID  // the author, or ""
	Since  time.Time // when the events happened or were recorded, or later
	Before int       // events with a smaller number, or 0
	Entry  int       // only the event with the number, or 0
}

// timelineTopics are the kinds of events by the word that people type.
var timelineTopics = map[string][]EventKind{
	"notes":    {EventNoted},
	"updates":  kindsOf(updateEvents),
	"alerts":   kindsOf(alertEvents),
	"paging":   kindsOf(pagingEvents, personalPageEvents, presenceEvents),
	"severity": kindsOf(severityEvents),
	"response": kindsOf(responseEvents, restoreEvents, distrustEvents),
	"facts":    kindsOf(factEvents),
	"steps":    kindsOf(playbookEvents),
	"ending":   append(kindsOf(endingEvents), EventContained, EventResolved, EventReopened),
	"record":   kindsOf(recordEvents),
	"review":   kindsOf(reviewEvents, meetingEvents),
	"access":   kindsOf(accessEvents, accessRequestEvents, retentionEvents),
	"channel":  kindsOf(channelEvents),
}

func kindsOf(tables ...eventTable) (out []EventKind) {
	for _, t := range tables {
		out = append(out, slices.Sorted(maps.Keys(t))...)
	}
	return out
}

// TimelineTopics returns the words for kinds of events, sorted.
func TimelineTopics() []string { return slices.Sorted(maps.Keys(timelineTopics)) }

// Matches reports whether the filter selects an event.
func (f TimelineFilter) Matches(e Event) bool {
	switch {
	case f.Topic != "" && !slices.Contains(timelineTopics[f.Topic], e.Kind),
		f.Person != "" && e.By != f.Person,
		f.Before > 0 && e.Seq >= f.Before,
		f.Entry > 0 && e.Seq != f.Entry,
		!f.Since.IsZero() && e.HappenedAt.Before(f.Since) && e.RecordedAt.Before(f.Since):
		return false
	}
	return true
}

// Page returns the last events of a timeline that the filter selects, in the order of the
// timeline, and the number of those before them.
func (f TimelineFilter) Page(timeline []Event) (page []Event, earlier int) {
	for _, e := range timeline {
		if f.Matches(e) {
			page = append(page, e)
		}
	}
	earlier = max(len(page)-TimelinePageSize, 0)
	return page[earlier:], earlier
}

// Earlier returns the filter of the page before a page.
func (f TimelineFilter) Earlier(page []Event) TimelineFilter {
	if len(page) > 0 {
		f.Before = page[0].Seq
	}
	return f
}
