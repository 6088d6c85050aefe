package intake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"tocsin/bot/incident"
)

// Limits of what goes on from here. A sender's text is never trusted to be of
// a sane size or to hold only characters that every database takes.
const (
	maxLine = 500     // runes of a title, an id, a key
	maxText = 8 << 10 // runes of a detail or a note
	maxTags = 64
)

const (
	drainTimeout   = 20 * time.Second      // how long a drain goes on before it lets another begin
	fullBatch      = maxBatch              // deliveries after which it looks for more at once
	drainPause     = 20 * time.Millisecond // how long it waits for as many
	maxIngestBatch = 64                    // deliveries in one transaction of a drain: as long as it takes, nothing else is written
)

// Drain decodes the stored deliveries of a range that nobody handled yet and
// hands what they mean to the desk, batch after batch, until there are no more.
// The first batch is worked at once. Whoever sends without end is answered and
// sends on while it is; so that the next ones are not small, a drain pauses
// before it looks for them. A batch that fails does not hold up those behind it.
// It can be repeated.
func (e *Edge) Drain(ctx context.Context, from, to int64) error {
	var failed []error
	for began := time.Now(); ; {
		rows, err := e.store.Rows(ctx, from, to)
		if err != nil {
			return errors.Join(append(failed, fmt.Errorf("load deliveries from %d on: %w", from, err))...)
		}
		if len(rows) == 0 {
			return errors.Join(failed...)
		}
		for some := range slices.Chunk(rows, maxIngestBatch) {
			if err := e.ingest(ctx, some); err != nil {
				failed = append(failed, fmt.Errorf("report deliveries %d to %d: %w", some[0].ID, some[len(some)-1].ID, err))
			}
		}
		from = rows[len(rows)-1].ID + 1
		switch {
		case ctx.Err() != nil:
			return errors.Join(append(failed, context.Cause(ctx))...)
		case time.Since(began) > drainTimeout && len(failed) > 0:
			return errors.Join(failed...)
		case time.Since(began) > drainTimeout:
			return &incident.RetryAfter{Err: errors.New("there is more in the inbox")}
		case len(rows) < fullBatch:
			sleep(ctx)
		}
	}
}

func sleep(ctx context.Context) {
	timer := time.NewTimer(drainPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (e *Edge) ingest(ctx context.Context, rows []Row) error {
	batch := make([]incident.DecodedDelivery, len(rows))
	for i, row := range rows {
		batch[i] = e.decode(row)
		e.observer.Decoded(row.Source, len(batch[i].Signals), batch[i].Failed != "")
	}
	return e.desk.Ingest(ctx, batch)
}

// decode finds out what one row means. What cannot be told is kept, with a
// reason for a person.
func (e *Edge) decode(row Row) incident.DecodedDelivery {
	out := incident.DecodedDelivery{Row: row.ID, Source: row.Source, Reprocessed: row.Reprocessed}
	source, known := e.sources[row.Source]
	if !known {
		return undecodable(out, row, fmt.Sprintf("no source called %s is configured any more", row.Source))
	}
	header := make(http.Header, len(row.Header))
	for k, v := range row.Header {
		header.Set(k, v)
	}
	signals, err := source.Decode(header, row.Body)
	if err != nil {
		return undecodable(out, row, cleanText(err.Error(), maxLine))
	}
	for i := range signals {
		signals[i].Row = row.ID
		signals[i] = normalize(signals[i], row)
	}
	out.Signals = signals
	return out
}

// undecodable says of a row why it cannot be told what it means, and raises an
// alert of the lowest level about it: so somebody gets to see it, where the
// alerts that opened nothing are listed.
func undecodable(out incident.DecodedDelivery, row Row, why string) incident.DecodedDelivery {
	out.Failed, out.Reprocessed = why, row.Reprocessed || row.WasUndecodable
	kind := incident.UndecodableKind(row.Source)
	out.Signals = []incident.Signal{{Row: row.ID, Alert: &incident.Alert{
		Source: row.Source, Kind: kind, Level: incident.LevelInformational, At: row.Received, Fingerprint: kind,
		Title: "Deliveries from " + row.Source + " cannot be read", Detail: why,
	}}}
	return out
}

// normalize bounds the sender's texts and fills in what the delivery itself knows.
func normalize(s incident.Signal, row Row) incident.Signal {
	s.Subject.PageKey, s.Subject.Correlation = boundedKey(s.Subject.PageKey), boundedKey(s.Subject.Correlation)
	if s.Alert != nil {
		a := *s.Alert
		a.Fingerprint, a.Correlation = boundedKey(a.Fingerprint), boundedKey(a.Correlation)
		for _, f := range []*string{&a.Kind, &a.Title, &a.EventID, &a.Project, &a.Release, &a.Environment,
			&a.Account, &a.Region, &a.Principal, &a.Address, &a.Rule} {
			*f = oneLine(*f)
		}
		a.URL = cleanText(a.URL, 4*maxLine)
		a.Detail = cleanText(a.Detail, maxText)
		a.Tags = cleanTags(a.Tags)
		if a.At.IsZero() {
			a.At = row.Received
		}
		s.Alert = &a
	}
	if s.Command != nil {
		c := *s.Command
		c.Key, c.By.ID, c.Text = boundedKey(c.Key), oneLine(c.By.ID), cleanText(c.Text, maxText)
		if c.Key == "" {
			c.Key = row.Source + ":" + row.Delivery.ID
		}
		if c.HappenedAt.After(row.Received) {
			c.HappenedAt = time.Time{} // the sender's clock is ahead; now is near enough
		}
		s.Command = &c
	}
	return s
}

func cleanTags(tags map[string]string) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	kept := make(map[string]string, min(len(tags), maxTags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if len(kept) == maxTags {
			break
		}
		kept[oneLine(k)] = oneLine(tags[k])
	}
	return kept
}

// boundedKey is a text that is only ever compared: two long ones that differ at the
// end still differ.
func boundedKey(s string) string {
	if len(s) > maxLine {
		return sha256ID([]byte(s))
	}
	return oneLine(s)
}

// oneLine is a text of one line.
func oneLine(s string) string {
	if strings.ContainsAny(s, "\r\n\t") {
		s = strings.Join(strings.Fields(s), " ")
	}
	return cleanText(s, maxLine)
}

// cleanText is valid UTF-8 without control characters other than line breaks and
// tabs, no longer than n runes.
func cleanText(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
	return truncate(s, n)
}

// truncate cuts a text after n runes and shows that it did.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	count := 0
	for i := range s {
		if count++; count > n {
			return s[:i] + "…"
		}
	}
	return s
}
