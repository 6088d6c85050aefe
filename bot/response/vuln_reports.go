package response

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// What bounds acknowledgements. Anybody may write a stranger's address into a
// report: no stranger gets many mails from us, and nobody a mail about a report
// that is old, because it was replayed or lay for long.
const (
	maxReportAge         = 72 * time.Hour
	maxAcksPerAddress    = 3
	acksPerAddressWindow = 24 * time.Hour
	maxAcks              = 60
	acksWindow           = time.Hour
	acksKey              = "ack/all"
)

// duplicateLookback is how long a report is remembered by its traits, and maxAlike how
// many earlier ones are named.
const (
	duplicateLookback = 180 * 24 * time.Hour
	maxDuplicates     = 3
)

// quota counts what happened since a time.
type quota struct {
	Since time.Time `json:"since"`
	N     int       `json:"n"`
}

// firstSeen is the incident that a trait was first seen in.
type firstSeen struct {
	Incident incident.ID `json:"incident"`
}

func duplicateStateKey(t incident.DuplicateKey) string { return "alike/" + t.Value }

// addressKey is that of an address, by whatever tag it is written: those all
// reach one person.
func addressKey(address string) string {
	local, domain, _ := strings.Cut(strings.ToLower(address), "@")
	local, _, _ = strings.Cut(local, "+")
	return "ack/to/" + local + "@" + domain
}

// loadReportState locks what is kept about the reports of a batch, all at once and
// before any incident, so that two batches cannot wait for each other.
func (r *ingestion) loadReportState(groups []*alertGroup) (err error) {
	var keys []string
	for _, g := range groups {
		report := g.alert.Report
		if report == nil {
			continue
		}
		for _, t := range report.DuplicateKeys {
			keys = append(keys, duplicateStateKey(t))
		}
		if report.Reply != nil {
			keys = append(keys, addressKey(report.Reply.To), acksKey)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	if r.reports, err = r.tx.Windows(keys); err != nil {
		return fmt.Errorf("read what is known about reports: %w", err)
	}
	return nil
}

// getState decodes what remember read; what is new stays zero.
func (r *ingestion) getState(key string, into any) error {
	raw := r.reports[key]
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("decode what is known about reports: %w", err)
	}
	return nil
}

func (r *ingestion) putState(key string, v any, expires time.Time) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode what is known about reports: %w", err)
	}
	if err := r.tx.PutWindow(key, raw, expires); err != nil {
		return fmt.Errorf("keep what is known about reports: %w", err)
	}
	r.reports[key] = raw
	return nil
}

// handleVulnReport does what a report calls for besides its routing: it names earlier ones
// that it may be the same as, and owes the reporter an acknowledgement. What a
// rule drops is not answered.
func (r *ingestion) handleVulnReport(g *alertGroup) error {
	report, landed := g.alert.Report, g.outcome
	if report == nil || landed.Outcome == outcomeDropped {
		return nil
	}
	if slices.Contains([]string{outcomeOpened, outcomeAttached, outcomeGrouped}, landed.Outcome) {
		if err := r.noteDuplicates(landed.Incident, report.DuplicateKeys); err != nil {
			return err
		}
	}
	if report.Reply == nil {
		return nil
	}
	return r.acknowledge(*report.Reply, landed, g.alert.At)
}

// acknowledge makes the acknowledgement of a report durable: one for each
// reference, whatever mails of its thread follow. Whether it is sent is decided
// once, too.
func (r *ingestion) acknowledge(reply incident.Reply, landed DeliveryOutcome, at time.Time) error {
	if !at.IsZero() && r.now.Sub(at) > maxReportAge {
		return nil
	}
	fresh, err := r.tx.RecordCommandKey(0, reply.AckKey())
	if err != nil {
		return fmt.Errorf("remember an acknowledgement: %w", err)
	}
	if !fresh {
		return nil
	}
	id := max(landed.Incident, 0)
	why, err := r.allowAck(reply.To)
	if err != nil {
		return err
	}
	if why != "" {
		r.d.Log.Warn("a report is not acknowledged", "reference", reply.Reference, "why", why)
		if id == 0 {
			return nil
		}
		return r.addNote(id, incident.Alert{Source: "report"}, "The reporter gets no acknowledgement: "+why+".")
	}
	return r.tx.Enqueue(incident.Effect{Key: reply.AckKey(), Kind: incident.EffectAcknowledge, Incident: id, After: r.now,
		Args: map[string]string{"alert": strconv.FormatInt(landed.Alert, 10)}})
}

// allowAck counts one more acknowledgement, or says why there must be none.
func (r *ingestion) allowAck(to string) (why string, err error) {
	bounds := []struct {
		key, why string
		n        int
		in       time.Duration
	}{
		{addressKey(to), fmt.Sprintf("%d went to that address within a day already", maxAcksPerAddress), maxAcksPerAddress, acksPerAddressWindow},
		{acksKey, fmt.Sprintf("%d went out within an hour already", maxAcks), maxAcks, acksWindow},
	}
	spent := make([]quota, len(bounds))
	for n, b := range bounds {
		if err := r.getState(b.key, &spent[n]); err != nil {
			return "", err
		}
		if r.now.Sub(spent[n].Since) >= b.in {
			spent[n] = quota{Since: r.now}
		}
		if spent[n].N >= b.n {
			return b.why, nil
		}
	}
	for n, b := range bounds {
		spent[n].N++
		if err := r.putState(b.key, spent[n], spent[n].Since.Add(b.in)); err != nil {
			return "", err
		}
	}
	return "", nil
}

// noteDuplicates says in an incident which earlier ones its report may be the same as,
// and why. It suggests and never merges: two reports with one title may be two
// weaknesses. A trait stays with the first report that had it.
func (r *ingestion) noteDuplicates(id incident.ID, traits []incident.DuplicateKey) error {
	reasons := map[incident.ID][]string{}
	var earlier []incident.ID
	for _, t := range traits {
		first := firstSeen{}
		if err := r.getState(duplicateStateKey(t), &first); err != nil {
			return err
		}
		switch first.Incident {
		case 0:
			first.Incident = id
		case id:
		default:
			if reasons[first.Incident] == nil {
				earlier = append(earlier, first.Incident)
			}
			reasons[first.Incident] = append(reasons[first.Incident], t.Kind)
		}
		if err := r.putState(duplicateStateKey(t), first, r.now.Add(duplicateLookback)); err != nil {
			return err
		}
	}
	slices.SortFunc(earlier, func(a, b incident.ID) int {
		return cmp.Or(cmp.Compare(len(reasons[b]), len(reasons[a])), cmp.Compare(a, b))
	})
	for _, other := range earlier[:min(len(earlier), maxDuplicates)] {
		fresh, err := r.tx.RecordCommandKey(id, "alike/"+other.String())
		if err != nil {
			return fmt.Errorf("remember a suggestion: %w", err)
		}
		if !fresh {
			continue
		}
		text := fmt.Sprintf("Possibly the same as %s: %s. Nothing was merged; if it is the same, write: /incident merge %s into %s",
			other, strings.Join(reasons[other], "; "), id, other)
		if err := r.addNote(id, incident.Alert{Source: "report"}, text); err != nil {
			return fmt.Errorf("suggest in %s that it is %s: %w", id, other, err)
		}
	}
	return nil
}

// ackBrief is what the handler of an acknowledgement may know: the address, and
// nothing of the incident, so that nothing of it can get into the mail.
func (s *session) ackBrief(e incident.Effect, b incident.Brief) (incident.Brief, error) {
	row, err := s.tx.Alert(int64(intArg(e, "alert")))
	if incident.CodeOf(err) == incident.CodeUnknown || err == nil && (row.Alert.Report == nil || row.Alert.Report.Reply == nil) {
		return b, nil // it was deleted meanwhile
	}
	if err != nil {
		return b, fmt.Errorf("read the report to acknowledge: %w", err)
	}
	reply := *row.Alert.Report.Reply
	reply.At = row.FirstAt
	b.Reply = &reply
	return b, nil
}
