package templates

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// timelineSVG is the data of the timeline picture. Numbers are pixels of the
// viewBox. The template writes each into a separate attribute and uses no path
// data, because a redactor could mistake path data for telephone or card numbers.
// Libraries for charts draw with paths.
type timelineSVG struct {
	Width, Height, Left, Right int
	Top, Bottom                int // of the lanes
	Lanes                      []swimlane
	Bands                      []band
	Ticks                      []tick
	Gaps                       []gap
	Dots                       []dot
	Clusters                   []cluster
	Milestones                 []milestoneMark
	Frozen                     int // x of the submission of the record, or 0
	Summary                    string
}

type (
	swimlane struct {
		Name             string
		Y, Height, TextY int
	}
	band struct {
		X, Width, TextX int
		Status, Label   string // Label is "" if the band is too narrow
	}
	tick struct {
		X         int
		Time, Day string
	}
	gap struct {
		X     int
		Label string
	}
	dot struct {
		X, Y        int
		Kind, Title string
	}
	cluster struct {
		X, Y, Width, TextX, Count int
		Title                     string
	}
	milestoneMark struct {
		X, Y, N           int
		Kind, Title, Time string
	}
)

const (
	svgWidth    = 960
	svgLeft     = 118
	svgRight    = 944
	svgTop      = 30
	laneHeight  = 54
	columnWidth = 20 // pixels. Events in one column are stacked
	maxStack    = 3  // dots in a column. More become a cluster
)

// maxMilestones limits the numbered events. A record with many objections and
// amendments has more.
const maxMilestones = 24

// drawTimeline returns the picture of the events up to the approval of the
// submitted revision.
func (w pageBuilder) drawTimeline(events []incident.Event) timelineSVG {
	events = slices.Clone(events)
	for n, e := range events {
		if e.Kind == incident.EventApproved && e.Field("digest") == w.Incident.Submission.Digest {
			events = events[:n+1]
			break
		}
	}
	slices.SortStableFunc(events, func(a, b incident.Event) int { return a.HappenedAt.Compare(b.HappenedAt) })
	lanes := incident.Lanes()
	d := timelineSVG{Width: svgWidth, Left: svgLeft, Right: svgRight, Top: svgTop, Bottom: svgTop + laneHeight*len(lanes)}
	d.Height = d.Bottom + 40
	for n, name := range lanes {
		y := svgTop + n*laneHeight
		d.Lanes = append(d.Lanes, swimlane{string(name), y, laneHeight, y + laneHeight/2 + 4})
	}
	if len(events) == 0 {
		return d
	}
	s := newScale(events)
	d.placeBands(events, s)
	d.placeTicks(s)
	d.placeGaps(s)
	d.placeEvents(w, events, s)
	for _, e := range events {
		if (e.Kind == incident.EventSubmitted || e.Kind == incident.EventRevised) && e.Field("digest") == w.Incident.Submission.Digest {
			d.Frozen = s.xAt(e.HappenedAt)
		}
	}
	first, last := events[0].HappenedAt, events[len(events)-1].HappenedAt
	d.Summary = fmt.Sprintf("%s from %s to %s, %s in all.", plural(len(events), "event"), formatUTC(first), formatUTC(last), formatDuration(last.Sub(first)))
	return d
}

// scale maps times to pixels. It shortens long periods without events.
type scale struct {
	times []time.Time // distinct, ascending
	xs    []float64   // x of each time
	limit time.Duration
}

func newScale(events []incident.Event) scale {
	var s scale
	for _, e := range events {
		if len(s.times) == 0 || e.HappenedAt.After(s.times[len(s.times)-1]) {
			s.times = append(s.times, e.HappenedAt)
		}
	}
	const left, right = svgLeft + 20, svgRight - 20
	if len(s.times) == 1 {
		s.xs = []float64{(left + right) / 2}
		return s
	}
	var gaps []time.Duration
	for n := 1; n < len(s.times); n++ {
		gaps = append(gaps, s.times[n].Sub(s.times[n-1]))
	}
	ordered := slices.Sorted(slices.Values(gaps))
	s.limit = max(5*ordered[len(ordered)*3/4], s.times[len(s.times)-1].Sub(s.times[0])/40)
	width := make([]float64, len(gaps))
	total := 0.0
	for n, g := range gaps {
		width[n] = float64(min(g, s.limit))
		if g > s.limit {
			width[n] *= 1 + 0.25*math.Log2(float64(g)/float64(s.limit))
		}
		total += width[n]
	}
	x := float64(left)
	s.xs = append(s.xs, x)
	for _, v := range width {
		x += v / total * (right - left)
		s.xs = append(s.xs, x)
	}
	return s
}

func (s scale) xAt(t time.Time) int {
	n, found := slices.BinarySearchFunc(s.times, t, time.Time.Compare)
	switch {
	case found:
		return int(math.Round(s.xs[n]))
	case n == 0:
		return int(math.Round(s.xs[0]))
	case n == len(s.times):
		return int(math.Round(s.xs[n-1]))
	}
	part := float64(t.Sub(s.times[n-1])) / float64(s.times[n].Sub(s.times[n-1]))
	return int(math.Round(s.xs[n-1] + part*(s.xs[n]-s.xs[n-1])))
}

// timeAt returns the time at a pixel.
func (s scale) timeAt(x float64) time.Time {
	n, found := slices.BinarySearch(s.xs, x)
	switch {
	case found:
		return s.times[n]
	case n == 0:
		return s.times[0]
	case n == len(s.xs):
		return s.times[n-1]
	}
	part := (x - s.xs[n-1]) / (s.xs[n] - s.xs[n-1])
	return s.times[n-1].Add(time.Duration(part * float64(s.times[n].Sub(s.times[n-1]))))
}

// placeBands adds a band for each status of the incident.
func (d *timelineSVG) placeBands(events []incident.Event, s scale) {
	var now incident.Status
	from := d.Left
	end := func(x int) {
		if now == "" || x <= from {
			return
		}
		b := band{X: from, Width: x - from, TextX: from + (x-from)/2, Status: string(now)}
		if text := humanize(now); len(text)*7+8 <= b.Width {
			b.Label = text
		}
		d.Bands = append(d.Bands, b)
	}
	for _, e := range events {
		if to := incident.Status(e.Field("status")); to != "" && to != now {
			x := s.xAt(e.HappenedAt)
			if now == "" {
				x = d.Left
			}
			end(x)
			now, from = to, max(from, x)
		}
	}
	end(d.Right)
}

// placeTicks adds times below the lanes, about every 120 pixels.
func (d *timelineSVG) placeTicks(s scale) {
	span := s.times[len(s.times)-1].Sub(s.times[0])
	step, layout := time.Minute, "15:04"
	switch {
	case span < 8*time.Minute:
		step, layout = time.Second, "15:04:05"
	case span > 4*time.Hour:
		step = 5 * time.Minute
	}
	day, last := "", -100
	for x := svgLeft + 20; x <= svgRight-20; x += 119 {
		t := s.timeAt(float64(x)).UTC().Round(step)
		if t.Before(s.times[0]) {
			t = t.Add(step)
		}
		at := s.xAt(t)
		if at-last < 60 {
			continue
		}
		k := tick{X: at, Time: t.Format(layout)}
		if date := t.Format("2 Jan"); date != day {
			day, k.Day = date, date
		}
		d.Ticks, last = append(d.Ticks, k), at
	}
}

// placeGaps adds labels for the longest shortened periods, if there is room.
func (d *timelineSVG) placeGaps(s scale) {
	type period struct {
		n    int
		long time.Duration
	}
	var all []period
	for n := 1; n < len(s.times); n++ {
		if long := s.times[n].Sub(s.times[n-1]); long > 2*s.limit && s.xs[n]-s.xs[n-1] > 40 {
			all = append(all, period{n, long})
		}
	}
	slices.SortStableFunc(all, func(a, b period) int { return cmp.Compare(b.long, a.long) })
	for _, p := range all[:min(len(all), 6)] {
		x := int((s.xs[p.n] + s.xs[p.n-1]) / 2)
		d.Gaps = append(d.Gaps, gap{X: x, Label: formatDuration(p.long)})
	}
	slices.SortFunc(d.Gaps, func(a, b gap) int { return a.X - b.X })
}

// placeEvents adds each event: milestones as numbered marks, other events as dots,
// and more than maxStack events in a column as a cluster.
func (d *timelineSVG) placeEvents(w pageBuilder, events []incident.Event, s scale) {
	type key struct{ lane, column int }
	columns := map[key][]incident.Event{}
	var order []key
	lanes := incident.Lanes()
	marks := make([][]milestoneMark, len(lanes))
	n := 0
	for _, e := range events {
		in, x := max(0, slices.Index(lanes, e.Kind.Lane())), s.xAt(e.HappenedAt)
		title := e.Kind.Milestone()
		if title != "" && !w.isRestricted(e) && n < maxMilestones {
			n++
			if e.Kind == incident.EventSigned || e.Kind == incident.EventObjected {
				title += ", " + label(e.Field("department"))
			}
			marks[in] = append(marks[in], milestoneMark{X: x, Y: svgTop + in*laneHeight + 17, N: n, Kind: string(e.Kind), Title: title, Time: formatUTC(e.HappenedAt)})
			continue
		}
		k := key{in, x / columnWidth}
		if columns[k] == nil {
			order = append(order, k)
		}
		columns[k] = append(columns[k], e)
	}
	for _, row := range marks {
		d.Milestones = append(d.Milestones, spreadMarks(row)...)
	}
	slices.SortFunc(d.Milestones, func(a, b milestoneMark) int { return a.N - b.N })
	for _, k := range order {
		d.placeColumn(w, k.lane, columns[k], s)
	}
}

// spreadMarks moves overlapping marks of a lane apart.
func spreadMarks(row []milestoneMark) []milestoneMark {
	const spacing = 19
	for n := 1; n < len(row); n++ {
		row[n].X = max(row[n].X, row[n-1].X+spacing)
	}
	for n := len(row) - 1; n >= 0; n-- {
		limit := svgRight - 10
		if n+1 < len(row) {
			limit = row[n+1].X - spacing
		}
		row[n].X = min(row[n].X, limit)
	}
	return row
}

// clock returns a time in UTC, with its day if the timeline has several.
func (s scale) clock(t time.Time) string {
	if first, last := s.times[0].UTC(), s.times[len(s.times)-1].UTC(); first.Format(time.DateOnly) != last.Format(time.DateOnly) {
		return t.UTC().Format("2 Jan 15:04")
	}
	return t.UTC().Format("15:04")
}

func (d *timelineSVG) placeColumn(w pageBuilder, in int, events []incident.Event, s scale) {
	base := svgTop + (in+1)*laneHeight - 10
	title := func(e incident.Event) string {
		at := s.clock(e.HappenedAt) + " "
		if w.isRestricted(e) {
			return at + restrictedText
		}
		return at + clip(Sentence(e, w.Directory), 160)
	}
	if len(events) <= maxStack {
		for n, e := range events {
			kind := "ordinary"
			if w.isRestricted(e) {
				kind = "restricted"
			}
			d.Dots = append(d.Dots, dot{X: s.xAt(e.HappenedAt), Y: base - n*8, Kind: kind, Title: title(e)})
		}
		return
	}
	x := min(max(s.xAt(events[0].HappenedAt)/columnWidth*columnWidth, svgLeft), svgRight-columnWidth)
	d.Clusters = append(d.Clusters, cluster{X: x + 1, Y: base - 9, Width: columnWidth - 2, TextX: x + columnWidth/2, Count: len(events),
		Title: fmt.Sprintf("%s until %s", plural(len(events), "event"), s.clock(events[len(events)-1].HappenedAt))})
}

// Positions of text relative to its mark.
func (d timelineSVG) TickEnd() int { return d.Bottom + 5 }
func (d timelineSVG) TimeY() int   { return d.Bottom + 18 }
func (d timelineSVG) DayY() int    { return d.Bottom + 32 }
func (d timelineSVG) GapY() int    { return d.Bottom - 4 }
func (s milestoneMark) TextY() int { return s.Y + 4 }
func (c cluster) TextY() int       { return c.Y + 11 }
