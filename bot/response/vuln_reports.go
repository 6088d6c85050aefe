package response

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// Limits of acknowledgements. A reporter may give the address of someone else, who
// must not receive many mails. Old reports, for example replayed ones, are not
// acknowledged.
const (
	maxReportAge         = 72 * time.Hour
	maxAcksPerAddress    = 3
	acksPerAddressWindow = 24 * time.Hour
	maxAcks              = 60
	acksWindow           = time.Hour
	acksKey              = "all"
)

// Limits of the search for possible duplicates.
const (
	duplicateLookback = 180 * 24 * time.Hour // age of the reports that are found
	maxDuplicates     = 3                    // earlier incidents that are named
)

// quota counts events since a time.
type quota struct {
	Since time.Time `json:"since"`
	N     int       `json:"n"`
}

// firstSeen is the incident of the first report with a duplicate key.
type firstSeen struct {
	Incident incident.ID `json:"incident"`
}

// addressKey returns the key of the quota of an address. Tags ("+x") are removed
// because they all reach one person.
func addressKey(address string) string {
	local, domain, _ := strings.Cut(strings.ToLower(address), "@")
	local, _, _ = strings.Cut(local, "+")
	return "to/" + local + "@" + domain
}

// lockReportState locks the state of all reports in a batch. It runs
// before any incident is locked, which prevents deadlocks between batches.
func (r *ingestion) lockReportState(groups []*alertGroup) error {
	var duplicates, acks []string
	for _, g := range groups {
		report := g.alert.Report
		if report == nil {
			continue
		}
		for _, k := range report.DuplicateKeys {
			duplicates = append(duplicates, k.Value)
		}
		if report.Reply != nil {
			acks = append(acks, addressKey(report.Reply.To), acksKey)
		}
	}
	for _, lock := range []struct {
		namespace Namespace
		keys      []string
	}{{NamespaceDuplicate, duplicates}, {NamespaceAck, acks}} {
		if len(lock.keys) == 0 {
			continue
		}
		if _, err := r.tx.Values(lock.namespace, lock.keys...); err != nil {
			return fmt.Errorf("lock report state: %w", err)
		}
	}
	return nil
}

// handleVulnReport notes possible duplicates of a report and acknowledges it. A
// dropped report is not acknowledged.
func (r *ingestion) handleVulnReport(g *alertGroup) error {
	report, outcome := g.alert.Report, g.outcome
	if report == nil || outcome.Outcome == outcomeDropped {
		return nil
	}
	if slices.Contains([]string{outcomeOpened, outcomeAttached, outcomeGrouped}, outcome.Outcome) {
		if err := r.noteDuplicates(outcome.Incident, report.DuplicateKeys); err != nil {
			return err
		}
	}
	if report.Reply == nil {
		return nil
	}
	return r.acknowledge(*report.Reply, outcome, g.alert.At)
}

// acknowledge enqueues the acknowledgement of a report. It decides once for each
// reference, so further mails of the thread are not acknowledged.
func (r *ingestion) acknowledge(reply incident.Reply, outcome DeliveryOutcome, at time.Time) error {
	if !at.IsZero() && r.now.Sub(at) > maxReportAge {
		return nil
	}
	fresh, err := r.tx.RecordCommandKey(0, reply.AckKey())
	if err != nil {
		return fmt.Errorf("store the key of an acknowledgement: %w", err)
	}
	if !fresh {
		return nil
	}
	id := max(outcome.Incident, 0)
	reason, err := r.allowAck(reply.To)
	if err != nil {
		return err
	}
	if reason != "" {
		r.d.Log.Warn("report not acknowledged", "reference", reply.Reference, "reason", reason)
		if id == 0 {
			return nil
		}
		return r.addNote(id, incident.Alert{Source: "report"}, fmt.Sprintf("The reporter receives no acknowledgement: %s.", reason))
	}
	return r.tx.Enqueue(incident.Effect{Key: reply.AckKey(), Kind: incident.EffectAcknowledgeReport, Incident: id, After: r.now,
		Args: map[string]string{"alert": strconv.FormatInt(outcome.Alert, 10)}})
}

// allowAck adds an acknowledgement to the quotas and returns "". It returns the
// reason if a quota is used up.
func (r *ingestion) allowAck(to string) (reason string, err error) {
	limits := []struct {
		key, reason string
		n           int
		window      time.Duration
	}{
		{addressKey(to), fmt.Sprintf("the limit of %d per day to one address is reached", maxAcksPerAddress), maxAcksPerAddress, acksPerAddressWindow},
		{acksKey, fmt.Sprintf("the limit of %d per hour is reached", maxAcks), maxAcks, acksWindow},
	}
	used := make([]quota, len(limits))
	for n, l := range limits {
		if err := getValue(r.tx, NamespaceAck, l.key, &used[n]); err != nil {
			return "", err
		}
		if r.now.Sub(used[n].Since) >= l.window {
			used[n] = quota{Since: r.now}
		}
		if used[n].N >= l.n {
			return l.reason, nil
		}
	}
	for n, l := range limits {
		used[n].N++
		if err := putValue(r.tx, NamespaceAck, l.key, used[n], used[n].Since.Add(l.window)); err != nil {
			return "", err
		}
	}
	return "", nil
}

// noteDuplicates notes in an incident which earlier incidents its report may
// duplicate, and why. It never merges, because two reports with one title may be
// about two weaknesses. A duplicate key stays with the first report that had it.
func (r *ingestion) noteDuplicates(id incident.ID, keys []incident.DuplicateKey) error {
	reasons := map[incident.ID][]string{}
	var earlier []incident.ID
	for _, k := range keys {
		first := firstSeen{}
		if err := getValue(r.tx, NamespaceDuplicate, k.Value, &first); err != nil {
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
			reasons[first.Incident] = append(reasons[first.Incident], k.Kind)
		}
		if err := putValue(r.tx, NamespaceDuplicate, k.Value, first, r.now.Add(duplicateLookback)); err != nil {
			return err
		}
	}
	slices.SortFunc(earlier, func(a, b incident.ID) int {
		return cmp.Or(cmp.Compare(len(reasons[b]), len(reasons[a])), cmp.Compare(a, b))
	})
	for _, other := range earlier[:min(len(earlier), maxDuplicates)] {
		fresh, err := r.tx.RecordCommandKey(id, "alike/"+other.String())
		if err != nil {
			return fmt.Errorf("store the key of a possible duplicate: %w", err)
		}
		if !fresh {
			continue
		}
		text := fmt.Sprintf("Possible duplicate of %s: %s. Nothing was merged. To merge the two, run: /incident merge %s into %s",
			other, strings.Join(reasons[other], "; "), id, other)
		if err := r.addNote(id, incident.Alert{Source: "report"}, text); err != nil {
			return fmt.Errorf("note in %s a possible duplicate of %s: %w", id, other, err)
		}
	}
	return nil
}

// ackBrief adds the address of the reporter to the brief of an acknowledgement.
// The brief has no incident, because nothing of the incident may reach the mail.
func (s *session) ackBrief(e incident.Effect, b incident.Brief) (incident.Brief, error) {
	row, err := alertByID(s.tx, int64(intArg(e, "alert")))
	if incident.CodeOf(err) == incident.CodeUnknown || err == nil && (row.Alert.Report == nil || row.Alert.Report.Reply == nil) {
		return b, nil // the alert was deleted
	}
	if err != nil {
		return b, fmt.Errorf("read the report to acknowledge: %w", err)
	}
	reply := *row.Alert.Report.Reply
	reply.At = row.FirstAt
	b.Reply = &reply
	return b, nil
}
