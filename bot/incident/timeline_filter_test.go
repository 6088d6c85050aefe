package incident

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimelineTopics_CoverEveryKind(t *testing.T) {
	for _, kind := range EventKinds() {
		if !slices.ContainsFunc(TimelineTopics(), func(topic string) bool { return TimelineFilter{Topic: topic}.Matches(Event{Kind: kind}) }) {
			t.Errorf("no topic selects %s", kind)
		}
	}
}

var minutes = []time.Duration{0, time.Minute, 2 * time.Minute}

// The pages of a filter contain every selected event once, in order.
func TestTimelineFilter_PagesAreComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var timeline []Event
		for n := range rapid.IntRange(0, 90).Draw(t, "events") {
			at := start.Add(rapid.SampledFrom(minutes).Draw(t, "at"))
			timeline = append(timeline, Event{Seq: n + 1, Kind: rapid.SampledFrom(EventKinds()).Draw(t, "kind"), HappenedAt: at, RecordedAt: at,
				By: rapid.SampledFrom([]PersonID{"", "eng1", "sec1"}).Draw(t, "by")})
		}
		f := TimelineFilter{Topic: rapid.SampledFrom(append(TimelineTopics(), "")).Draw(t, "topic"),
			Person: rapid.SampledFrom([]PersonID{"", "eng1"}).Draw(t, "person")}
		if rapid.Bool().Draw(t, "since") {
			f.Since = start.Add(minutes[1])
		}
		var want, got []int
		for _, e := range timeline {
			if f.Matches(e) {
				want = append(want, e.Seq)
			}
		}
		for next, more := f, true; more; {
			page, earlier := next.Page(timeline)
			if len(page) > TimelinePageSize || earlier > 0 && len(page) < TimelinePageSize {
				t.Fatalf("got a page of %d with %d before it", len(page), earlier)
			}
			var seqs []int
			for _, e := range page {
				seqs = append(seqs, e.Seq)
			}
			got, next, more = append(seqs, got...), next.Earlier(page), earlier > 0
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
