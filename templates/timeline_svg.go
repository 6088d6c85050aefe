package templates

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// drawing is the timeline as a picture. Its numbers are pixels of the viewBox;
// they stand in attributes of their own, never in path data, so that nothing
// that looks for telephone or card numbers finds one.
type drawing struct {
	Width, Height, Left, Right int
	Top, Bottom                int // of the lanes
	Lanes                      []swimlane
	Bands                      []band
	Ticks                      []tick
	Gaps                       []gap
	Dots                       []dot
	Clusters                   []cluster
	Milestones                 []milestoneMark
	Frozen                     int // x of the record's submission; 0 for none
	Summary                    string
}

type (
	swimlane struct {
		Name             string
		Y, Height, TextY int
	}
	band struct {
		X, Width, TextX int
		Status, Label   string // Label is "" where it has no room
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
	drawWidth  = 960
	drawLeft   = 118
	drawRight  = 944
	drawTop    = 30
	laneHeight = 54
	column     = 20 // pixels; events closer than this are stacked
	stack      = 3  // dots in a column; more become a number
)

// lanes of the picture, and which events stand in which.
const (
	laneDetection = iota
	laneResponse
	laneCommunication
	laneSignOff
)

var laneNames = []string{"Detection", "Response", "Communication", "Sign-off"}

var laneOf = map[incident.EventKind]int{
	incident.EventOpened: laneDetection, incident.EventAlertAttached: laneDetection, incident.EventAlertCounted: laneDetection,
	incident.EventSourceNoted: laneDetection, incident.EventMergedFrom: laneDetection, incident.EventReopened: laneDetection,
	incident.EventSplitFrom: laneDetection, incident.EventSplitInto: laneDetection,

	incident.EventAcknowledged: laneResponse, incident.EventAckTimedOut: laneResponse, incident.EventSeveritySet: laneResponse,
	incident.EventRoleAssigned: laneResponse, incident.EventFactSet: laneResponse, incident.EventNoted: laneResponse,
	incident.EventEvidence: laneResponse, incident.EventContained: laneResponse, incident.EventResolved: laneResponse,
	incident.EventDismissProposed: laneResponse, incident.EventDismissed: laneResponse, incident.EventMergedInto: laneResponse,
	incident.EventPlaybookStarted: laneResponse, incident.EventStepStarted: laneResponse, incident.EventStepDone: laneResponse,
	incident.EventStepSkipped: laneResponse, incident.EventStepLate: laneResponse, incident.EventEffectFailed: laneResponse,
	incident.EventLegalHoldSet: laneResponse, incident.EventLegalHoldReleased: laneResponse,
	incident.EventErasureProposed: laneResponse, incident.EventErased: laneResponse, incident.EventLinked: laneResponse,

	incident.EventRoundStarted: laneCommunication, incident.EventPageStarted: laneCommunication, incident.EventPaged: laneCommunication,
	incident.EventPageFailed: laneCommunication, incident.EventPageUnanswered: laneCommunication, incident.EventDepartmentsInvolved: laneCommunication,
	incident.EventUpdated: laneCommunication, incident.EventConsulted: laneCommunication, incident.EventAnswered: laneCommunication,
	incident.EventChannelOpened: laneCommunication, incident.EventInvited: laneCommunication, incident.EventAccessGranted: laneCommunication,
	incident.EventRestricted: laneCommunication, incident.EventPostmortemShared: laneCommunication, incident.EventReviewScheduled: laneCommunication,

	incident.EventRecordEdited: laneSignOff, incident.EventSubmitted: laneSignOff, incident.EventSigned: laneSignOff,
	incident.EventSignatureWithdrawn: laneSignOff, incident.EventSignaturesVoided: laneSignOff, incident.EventAmended: laneSignOff,
	incident.EventObjected: laneSignOff, incident.EventObjectionClosed: laneSignOff, incident.EventApproved: laneSignOff,
	incident.EventRevised: laneSignOff, incident.EventDelegated: laneSignOff, incident.EventActionAdded: laneSignOff,
	incident.EventActionDone: laneSignOff, incident.EventReviewConcluded: laneSignOff, incident.EventWaiverProposed: laneSignOff,
	incident.EventWaiverEndorsed: laneSignOff, incident.EventClosed: laneSignOff, incident.EventPostmortemWritten: laneSignOff,
}

// milestones are numbered in the picture and named below it.
var milestones = map[incident.EventKind]string{
	incident.EventOpened: "Opened", incident.EventAcknowledged: "Acknowledged", incident.EventAckTimedOut: "Acknowledgement lapsed",
	incident.EventContained: "Contained", incident.EventResolved: "Resolved", incident.EventReopened: "Reopened",
	incident.EventDepartmentsInvolved: "Departments called in", incident.EventSubmitted: "Record submitted", incident.EventRevised: "Record revised",
	incident.EventObjected: "Objection", incident.EventAmended: "Record amended", incident.EventSignaturesVoided: "Signatures void",
	incident.EventSigned: "Signed", incident.EventApproved: "Approved",
}

// maxMilestones bounds the numbered events; a fight over the record can be long.
const maxMilestones = 24

// draw places the events up to the approval of this revision.
func (w writer) draw(events []incident.Event) drawing {
	events = slices.Clone(events)
	for n, e := range events {
		if e.Kind == incident.EventApproved && e.Field("digest") == w.Incident.Submission.Digest {
			events = events[:n+1]
			break
		}
	}
	slices.SortStableFunc(events, func(a, b incident.Event) int { return a.HappenedAt.Compare(b.HappenedAt) })
	d := drawing{Width: drawWidth, Left: drawLeft, Right: drawRight, Top: drawTop, Bottom: drawTop + laneHeight*len(laneNames)}
	d.Height = d.Bottom + 40
	for n, name := range laneNames {
		y := drawTop + n*laneHeight
		d.Lanes = append(d.Lanes, swimlane{name, y, laneHeight, y + laneHeight/2 + 4})
	}
	if len(events) == 0 {
		return d
	}
	s := newScale(events)
	d.bands(events, s)
	d.ticks(s)
	d.gaps(s)
	d.placeEvents(w, events, s)
	for _, e := range events {
		if (e.Kind == incident.EventSubmitted || e.Kind == incident.EventRevised) && e.Field("digest") == w.Incident.Submission.Digest {
			d.Frozen = s.x(e.HappenedAt)
		}
	}
	first, last := events[0].HappenedAt, events[len(events)-1].HappenedAt
	d.Summary = fmt.Sprintf("%s from %s to %s, %s in all.", plural(len(events), "event"), utc(first), utc(last), formatDuration(last.Sub(first)))
	return d
}

// scale maps times to pixels. Hours in which nothing happened are drawn
// shorter than they were, and marked.
type scale struct {
	times []time.Time // distinct, ascending
	at    []float64   // their x
	limit time.Duration
}

func newScale(events []incident.Event) scale {
	var s scale
	for _, e := range events {
		if len(s.times) == 0 || e.HappenedAt.After(s.times[len(s.times)-1]) {
			s.times = append(s.times, e.HappenedAt)
		}
	}
	const left, right = drawLeft + 20, drawRight - 20
	if len(s.times) == 1 {
		s.at = []float64{(left + right) / 2}
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
	s.at = append(s.at, x)
	for _, v := range width {
		x += v / total * (right - left)
		s.at = append(s.at, x)
	}
	return s
}

func (s scale) x(t time.Time) int {
	n, found := slices.BinarySearchFunc(s.times, t, time.Time.Compare)
	switch {
	case found:
		return int(math.Round(s.at[n]))
	case n == 0:
		return int(math.Round(s.at[0]))
	case n == len(s.times):
		return int(math.Round(s.at[n-1]))
	}
	part := float64(t.Sub(s.times[n-1])) / float64(s.times[n].Sub(s.times[n-1]))
	return int(math.Round(s.at[n-1] + part*(s.at[n]-s.at[n-1])))
}

// back is the time at a pixel.
func (s scale) back(x float64) time.Time {
	n, found := slices.BinarySearch(s.at, x)
	switch {
	case found:
		return s.times[n]
	case n == 0:
		return s.times[0]
	case n == len(s.at):
		return s.times[n-1]
	}
	part := (x - s.at[n-1]) / (s.at[n] - s.at[n-1])
	return s.times[n-1].Add(time.Duration(part * float64(s.times[n].Sub(s.times[n-1]))))
}

// bands colours the statuses the incident went through.
func (d *drawing) bands(events []incident.Event, s scale) {
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
			x := s.x(e.HappenedAt)
			if now == "" {
				x = d.Left
			}
			end(x)
			now, from = to, max(from, x)
		}
	}
	end(d.Right)
}

// ticks writes times below the lanes, about every 120 pixels.
func (d *drawing) ticks(s scale) {
	span := s.times[len(s.times)-1].Sub(s.times[0])
	step, layout := time.Minute, "15:04"
	switch {
	case span < 8*time.Minute:
		step, layout = time.Second, "15:04:05"
	case span > 4*time.Hour:
		step = 5 * time.Minute
	}
	day, last := "", -100
	for x := drawLeft + 20; x <= drawRight-20; x += 119 {
		t := s.back(float64(x)).UTC().Round(step)
		if t.Before(s.times[0]) {
			t = t.Add(step)
		}
		at := s.x(t)
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

// gaps names the longest shortened pauses that have room for it.
func (d *drawing) gaps(s scale) {
	type pause struct {
		n    int
		long time.Duration
	}
	var all []pause
	for n := 1; n < len(s.times); n++ {
		if long := s.times[n].Sub(s.times[n-1]); long > 2*s.limit && s.at[n]-s.at[n-1] > 40 {
			all = append(all, pause{n, long})
		}
	}
	slices.SortStableFunc(all, func(a, b pause) int { return cmp.Compare(b.long, a.long) })
	for _, p := range all[:min(len(all), 6)] {
		x := int((s.at[p.n] + s.at[p.n-1]) / 2)
		d.Gaps = append(d.Gaps, gap{X: x, Label: formatDuration(p.long)})
	}
	slices.SortFunc(d.Gaps, func(a, b gap) int { return a.X - b.X })
}

// placeEvents draws each event: a milestone as a numbered stone, others as dots, and
// where too many fall together, as one number.
func (d *drawing) placeEvents(w writer, events []incident.Event, s scale) {
	type key struct{ lane, column int }
	columns := map[key][]incident.Event{}
	var order []key
	stones := make([][]milestoneMark, len(laneNames))
	n := 0
	for _, e := range events {
		in, x := laneOf[e.Kind], s.x(e.HappenedAt)
		what, milestone := milestones[e.Kind]
		if milestone && !w.isRestricted(e) && n < maxMilestones {
			n++
			if e.Kind == incident.EventSigned || e.Kind == incident.EventObjected {
				what += ", " + label(e.Field("department"))
			}
			stones[in] = append(stones[in], milestoneMark{X: x, Y: drawTop + in*laneHeight + 17, N: n, Kind: string(e.Kind), Title: what, Time: utc(e.HappenedAt)})
			continue
		}
		k := key{in, x / column}
		if columns[k] == nil {
			order = append(order, k)
		}
		columns[k] = append(columns[k], e)
	}
	for _, row := range stones {
		d.Milestones = append(d.Milestones, spreadMarks(row)...)
	}
	slices.SortFunc(d.Milestones, func(a, b milestoneMark) int { return a.N - b.N })
	for _, k := range order {
		d.column(w, k.lane, columns[k], s)
	}
}

// spreadMarks moves the stones of a lane apart.
func spreadMarks(row []milestoneMark) []milestoneMark {
	const apart = 19
	for n := 1; n < len(row); n++ {
		row[n].X = max(row[n].X, row[n-1].X+apart)
	}
	for n := len(row) - 1; n >= 0; n-- {
		most := drawRight - 10
		if n+1 < len(row) {
			most = row[n+1].X - apart
		}
		row[n].X = min(row[n].X, most)
	}
	return row
}

func (d *drawing) column(w writer, in int, events []incident.Event, s scale) {
	base := drawTop + (in+1)*laneHeight - 10
	title := func(e incident.Event) string {
		at := e.HappenedAt.UTC().Format("15:04 ")
		if w.isRestricted(e) {
			return at + restricted
		}
		return at + clip(Sentence(e, w.Directory), 160)
	}
	if len(events) <= stack {
		for n, e := range events {
			kind := "ordinary"
			if w.isRestricted(e) {
				kind = "restricted"
			}
			d.Dots = append(d.Dots, dot{X: s.x(e.HappenedAt), Y: base - n*8, Kind: kind, Title: title(e)})
		}
		return
	}
	x := min(max(s.x(events[0].HappenedAt)/column*column, drawLeft), drawRight-column)
	d.Clusters = append(d.Clusters, cluster{X: x + 1, Y: base - 9, Width: column - 2, TextX: x + column/2, Count: len(events),
		Title: fmt.Sprintf("%s until %s", plural(len(events), "event"), events[len(events)-1].HappenedAt.UTC().Format("15:04"))})
}

// Where text stands below or beside what it names.
func (d drawing) TickEnd() int     { return d.Bottom + 5 }
func (d drawing) TimeY() int       { return d.Bottom + 18 }
func (d drawing) DayY() int        { return d.Bottom + 32 }
func (d drawing) GapY() int        { return d.Bottom - 4 }
func (s milestoneMark) TextY() int { return s.Y + 4 }
func (c cluster) TextY() int       { return c.Y + 11 }
