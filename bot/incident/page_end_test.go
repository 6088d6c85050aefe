package incident

import "testing"

func TestEndOf(t *testing.T) {
	pages := []PageRef{{1, 0}, {1, 1}, {2, 0}, {3, 0}, {4, 0}}
	for name, c := range map[string]struct {
		page  PageRef
		kind  EffectKind
		acked bool
		want  PageEnd
	}{
		"the last page":                   {PageRef{4, 0}, EffectPageAck, true, PageEndNew},
		"resolved without acknowledgment": {PageRef{4, 0}, EffectPageResolve, false, PageEndNew},
		"resolved after acknowledgment":   {PageRef{4, 0}, EffectPageResolve, true, PageEndKnown},
		"replaced in the round before":    {PageRef{3, 0}, EffectPageAck, true, PageEndCorrect},
		"replaced long ago":               {PageRef{2, 0}, EffectPageAck, true, PageEndKnown},
		"old and never replaced":          {PageRef{1, 1}, EffectPageAck, true, PageEndNew},
	} {
		i := Incident{Pages: pages, Paging: Paging{Round: 4}}
		if c.acked {
			i.Paging.AcknowledgedBy = "p1"
		}
		if got := i.EndOf(c.page, c.kind); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
