package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tocsin/bot/health"
)

// A Report is the result of a proof: a backup was restored, and its content compared.
type Report struct {
	Origin   string    `json:"origin"`
	At       time.Time `json:"at"`   // when the proof began
	From     string    `json:"from"` // label of the destination
	Key      string    `json:"key"`
	BackupAt time.Time `json:"backup_at"`
	Rows     int64     `json:"rows"`
	Jobs     int64     `json:"jobs"`   // that a restore would start
	Leaves   int64     `json:"leaves"` // of the log of the notary
	// Checkpoint is the published checkpoint that the backup was compared with, or "".
	Checkpoint string `json:"checkpoint,omitempty"`
	// RTOSeconds is the time from the start until the restored database was usable, and
	// RPOSeconds the age of the newest backup at that time.
	RTOSeconds float64  `json:"rto_seconds"`
	RPOSeconds float64  `json:"rpo_seconds"`
	Problems   []string `json:"problems"` // empty if the backup restores
}

// IsProof reports whether the backup restores.
func (r Report) IsProof() bool { return len(r.Problems) == 0 }

// Signer makes and checks MACs with the keyset.
type Signer interface {
	MAC(data []byte) []byte
	VerifyMAC(data, sum []byte) error
}

// signedReport is the format of a report at a destination.
type signedReport struct {
	Report json.RawMessage `json:"report"`
	MAC    []byte          `json:"mac"`
}

// reportContext separates the MACs of reports from others of the keyset.
const reportContext = "tocsin backup proof\n"

// PutReport stores a report at every destination. It returns an error only if none has it.
func (ds Destinations) PutReport(ctx context.Context, r Report, s Signer) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	signed, err := json.Marshal(signedReport{raw, s.MAC(append([]byte(reportContext), raw...))})
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	var errs []error
	for _, d := range ds.list {
		if err := putSmall(ctx, d, proofKey(r.At, r.Origin), signed, time.Time{}); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(ds.list) {
		return errors.Join(errs...)
	}
	return nil
}

// openReport checks the MAC of a report. Its key must have its time, because
// anyone could otherwise store an old report as a new one.
func openReport(raw []byte, key string, s Signer) (r Report, err error) {
	var signed signedReport
	if err := json.Unmarshal(raw, &signed); err != nil {
		return r, fmt.Errorf("read report: %w", err)
	}
	if err := s.VerifyMAC(append([]byte(reportContext), signed.Report...), signed.MAC); err != nil {
		return r, fmt.Errorf("read report: %w", err)
	}
	if err := json.Unmarshal(signed.Report, &r); err != nil {
		return r, fmt.Errorf("read report: %w", err)
	}
	if proofKey(r.At, r.Origin) != key {
		return Report{}, errors.New("read report: its name is the one of another report")
	}
	return r, nil
}

// maxReports is how many reports of a destination [Destinations.NewestReport] opens.
const maxReports = 5

// NewestReport returns the newest report of an instance with a valid MAC. It returns an
// error that wraps [ErrNotFound] if there is none, and another error only if no destination
// has one and one does not answer. A report that is not valid is an error, too, because
// somebody other than the proof wrote it, or wrote it with another keyset.
func (ds Destinations) NewestReport(ctx context.Context, origin string, now time.Time, s Signer) (Report, error) {
	var newest Report
	var errs []error
	for _, d := range ds.list {
		r, err := newestReport(ctx, d, origin, now, s)
		if err != nil {
			errs = append(errs, err)
		}
		if r.At.After(newest.At) {
			newest = r
		}
	}
	switch {
	case !newest.At.IsZero():
		return newest, nil
	case len(errs) > 0:
		return newest, errors.Join(errs...)
	}
	return newest, fmt.Errorf("find report: %w", ErrNotFound)
}

func newestReport(ctx context.Context, d Destination, origin string, now time.Time, s Signer) (Report, error) {
	list, err := d.List(ctx, proofFolder, proofFolder+now.AddDate(0, 0, -40).UTC().Format(timeLayout))
	if err != nil {
		return Report{}, err
	}
	var invalid error
	opened := 0
	for _, o := range slices.Backward(list) {
		at, of, ok := parseSmallKey(o.Key)
		if !ok || of != shortOrigin(origin) || at.Sub(now) > futureTolerance {
			continue
		}
		if opened++; opened > maxReports {
			break
		}
		raw, err := readSmall(ctx, d, o.Key)
		if err != nil {
			return Report{}, err
		}
		r, err := openReport(raw, o.Key, s)
		if err == nil {
			return r, nil
		}
		invalid = &health.Problem{Cause: "The report " + o.Key + " at " + d.Label() + " is not signed with the keyset of this instance", Fix: "Give `tocsin backup verify` the copy of the present keyset, and check who can write to " + proofFolder, Err: err}
	}
	return Report{}, invalid
}

// ProofStatus is the state of the daily proof.
type ProofStatus struct {
	Newest Report // zero without a report
	// Problem is why the backups are not proven, or nil.
	Problem *health.Problem
}

// ProofStatus returns the status at a time. zone is the zone of Verify.At, and oldest the
// time of the oldest backup: a proof is due only after a backup.
func (c Config) ProofStatus(newest Report, oldest, now time.Time, zone *time.Location) ProofStatus {
	s := ProofStatus{Newest: newest}
	due := c.lastDue(now.Add(-c.Verify.StaleAfter), zone)
	const fix = "Run `tocsin backup verify` as the user of the proof, and read its output"
	switch {
	case !newest.At.IsZero() && !newest.IsProof():
		s.Problem = &health.Problem{Cause: fmt.Sprintf("The backup %s does not restore: %s", newest.Key, newest.Problems[0]), Fix: fix, Since: newest.At}
	case oldest.IsZero() || !oldest.Before(due) || !newest.At.Before(due):
	case newest.At.IsZero():
		s.Problem = &health.Problem{Cause: "Nothing has proven that a backup restores", Fix: "Set up `tocsin backup verify`, which docs/operations.md describes", Since: due.Add(c.Verify.StaleAfter)}
	default:
		s.Problem = &health.Problem{Cause: "The last proof that a backup restores was at " + newest.At.UTC().Format("2006-01-02 15:04 MST"), Fix: fix, Since: due.Add(c.Verify.StaleAfter)}
	}
	return s
}

// lastDue returns the last time of day Verify.At that is not after a time.
func (c Config) lastDue(before time.Time, zone *time.Location) time.Time {
	at, err := time.Parse("15:04", c.Verify.At)
	if err != nil {
		return time.Time{}
	}
	before = before.In(zone)
	due := time.Date(before.Year(), before.Month(), before.Day(), at.Hour(), at.Minute(), 0, 0, zone)
	if due.After(before) {
		due = time.Date(before.Year(), before.Month(), before.Day()-1, at.Hour(), at.Minute(), 0, 0, zone)
	}
	return due
}
