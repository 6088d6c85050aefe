package detect

import (
	"math"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/text"
)

// lifecycle finds the shortest time after which an enabled rule of a bucket deletes
// objects or their previous versions.
type lifecycle struct {
	days  float64
	found bool
	now   time.Time // of the record
}

// readLifecycle returns the derived fields about lifecycle rules without their
// prefix, or nil if no rule deletes anything.
func readLifecycle(r *Record) map[string]any {
	params, _ := r.member(r.root, "requestParameters")
	if params < 0 {
		return nil
	}
	l := lifecycle{now: r.Time()}
	for n := params; n < r.nodes[params].next; n++ {
		if r.nodes[n].kind == kindObject {
			l.readRule(r, n)
		}
	}
	if !l.found {
		return nil
	}
	return map[string]any{"days": l.days}
}

// readRule reads an object if it has the form of a lifecycle rule.
func (l *lifecycle) readRule(r *Record, n int32) {
	if status := r.memberFold(n, "status"); status >= 0 && !strings.EqualFold(string(r.textOf(status)), "Enabled") {
		return
	}
	for _, action := range r.objects(r.memberFold(n, "expiration")) {
		l.add(r.memberFold(action, "days"), r)
		if date := r.memberFold(action, "date"); date >= 0 {
			l.addDate(string(r.textOf(date)))
		}
	}
	for _, action := range r.objects(r.memberFold(n, "noncurrentversionexpiration")) {
		if keeps := r.memberFold(action, "newernoncurrentversions"); keeps >= 0 {
			if count, ok := number(r.textOf(keeps)); ok && count > 0 {
				continue // the newest previous versions remain
			}
		}
		l.add(r.memberFold(action, "noncurrentdays"), r)
	}
}

// add takes a number of days. A node below 0 is absent.
func (l *lifecycle) add(n int32, r *Record) {
	if n < 0 {
		return
	}
	if days, err := strconv.ParseFloat(strings.TrimSpace(string(r.textOf(n))), 64); err == nil && !math.IsNaN(days) && !math.IsInf(days, 0) {
		l.addDays(days)
	}
}

// addDate takes the date of a deletion. A date that cannot be read may be near.
func (l *lifecycle) addDate(text string) {
	date := parseDate(text)
	if date.IsZero() || l.now.IsZero() {
		l.addDays(0)
		return
	}
	l.addDays(math.Ceil(max(0, date.Sub(l.now).Hours()/24)))
}

func (l *lifecycle) addDays(days float64) {
	if !l.found || days < l.days {
		l.days, l.found = days, true
	}
}

// parseDate parses the notations of dates in requests. It returns the zero time for
// other texts.
func parseDate(value string) time.Time {
	value = strings.TrimSpace(value)
	if t := text.Timestamp(value); !t.IsZero() {
		return t
	}
	for _, layout := range []string{"Mon Jan 2 15:04:05 MST 2006", time.RFC1123, "Jan 2, 2006 3:04:05 PM"} {
		if t, err := time.Parse(layout, value); err == nil {
			return t
		}
	}
	return time.Time{}
}

// memberFold returns the member whose key equals the lower-case key without regard
// to case, or -1.
func (r *Record) memberFold(n int32, key string) int32 {
	for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
		if strings.EqualFold(string(r.keyOf(&r.nodes[c])), key) && r.nodes[c].kind != kindNull {
			return c
		}
	}
	return -1
}

// objects returns the object at a node, or those in the list there. A node below 0
// is absent.
func (r *Record) objects(n int32) (out []int32) {
	if n < 0 {
		return nil
	}
	switch r.nodes[n].kind {
	case kindObject:
		return []int32{n}
	case kindArray:
		for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
			out = append(out, r.objects(c)...)
		}
	}
	return out
}
