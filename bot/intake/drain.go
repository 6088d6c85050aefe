package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"tocsin/bot/bounds"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Bounds of decoded texts. A sender may write texts of any size, with characters
// that a database rejects.
const (
	maxLine = 500     // runes of a title, an ID or a key
	maxText = 8 << 10 // runes of a detail or a note
	maxTags = 64
)

const (
	drainTimeout   = 20 * time.Second      // maximum time of a drain, to let another job run
	fullBatch      = maxBatch              // rows of a load that the next load follows without a pause
	drainPause     = 20 * time.Millisecond // pause before the next load, for more deliveries to arrive
	maxIngestBatch = 64                    // deliveries in one transaction, which blocks all other writes
)

// Drain decodes the unhandled deliveries with an ID between from and to and
// passes the results to the [Desk], batch after batch, until none is left. It
// handles the first batch immediately. After a small batch it pauses before the next
// load, because a fast sender would otherwise cause many small batches.
//
// A failed batch does not stop the following ones, and the error joins the errors of
// all batches. If no batch failed but drainTimeout has passed, Drain returns
// *incident.RetryAfter. A repeated drain skips handled deliveries.
func (e *Edge) Drain(ctx context.Context, from, to int64) error {
	var failed []error
	for began := time.Now(); ; {
		rows, err := e.store.Rows(ctx, from, to)
		if err != nil {
			return errors.Join(append(failed, fmt.Errorf("load deliveries from ID %d: %w", from, err))...)
		}
		if len(rows) == 0 {
			return errors.Join(failed...)
		}
		for chunk := range slices.Chunk(rows, maxIngestBatch) {
			if err := e.ingest(ctx, chunk); err != nil {
				failed = append(failed, fmt.Errorf("ingest deliveries %d to %d: %w", chunk[0].ID, chunk[len(chunk)-1].ID, err))
			}
		}
		from = rows[len(rows)-1].ID + 1
		switch {
		case ctx.Err() != nil:
			return errors.Join(append(failed, context.Cause(ctx))...)
		case time.Since(began) > drainTimeout && len(failed) > 0:
			return errors.Join(failed...)
		case time.Since(began) > drainTimeout:
			return &incident.RetryAfter{Err: errors.New("the inbox still contains deliveries")}
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
		if row.Origin == incident.OriginLive {
			reason := cmp.Or(batch[i].Failed, batch[i].Unread)
			e.observer.Decoded(row.Source, len(batch[i].Signals), reason != "")
			if _, known := e.sources[row.Source]; known && reason != "" && !row.WasUndecodable {
				e.traffic.Refuse(row.Source, Undecodable, row.Sender, reason, e.clock())
			}
		}
	}
	return e.desk.Ingest(ctx, batch)
}

// decode decodes one row. If it fails for the row or for some of its items, the result
// contains the reason and an alert about it.
func (e *Edge) decode(row Row) incident.DecodedDelivery {
	out := incident.DecodedDelivery{Row: row.ID, Source: row.Source, Origin: row.Origin, Reprocessed: row.Reprocessed, PartlyRead: row.PartlyRead}
	source, known := e.sources[row.Source]
	if !known {
		return undecodable(out, row, fmt.Sprintf("the source %s is not configured. Enable it again to decode its deliveries", row.Source))
	}
	header := make(http.Header, len(row.Header))
	for k, v := range row.Header {
		header.Set(k, v)
	}
	row.Body = jsonText(row.Body)
	short, isShort := parseShortening(row.Header[headerShortened])
	if err := malformedReason(row); err != nil {
		reason := err.Error()
		if isShort {
			reason = short.describe() + ", and it cannot be read: " + reason
		}
		return malformed(out, row, reason)
	}
	if bounds.TooManyTokens(row.Body) {
		return undecodable(out, row, fmt.Sprintf("the body has more than %d names and values. Tocsin stores it but does not decode it. Send fewer in one delivery", bounds.MaxJSONTokens))
	}
	signals, err := decodeSignals(source.Source, header, row)
	reasons := reasonsOf(err)
	if isShort && len(reasons) > 0 && len(signals) == 0 {
		reasons[0] = short.describe() + ", and it cannot be read: " + reasons[0]
	}
	if err != nil && len(signals) == 0 {
		return undecodable(out, row, reasons...)
	}
	if at := staleTime(source.Source, row, signals); !at.IsZero() {
		out.Ignored = fmt.Sprintf("the event is from %s. Tocsin does not act on events older than a year, because it cannot recognise their repeats", at.UTC().Format(time.DateOnly))
		return out
	}
	for i := range signals {
		signals[i].Row = row.ID
		signals[i] = normalize(signals[i], row).WithOrigin(row.Origin)
	}
	if isShort {
		signals = append(signals, shortenedSignal(row, short, signals))
	}
	if out.Signals = signals; err != nil {
		out.Unread = cleanText(decodePrefix.ReplaceAllString(err.Error(), ""), maxLine)
		out.Signals = append(out.Signals, unreadSignals(row, reasons, true)...)
	}
	return out
}

// decodePrefix is what decoders write before the reason, for programmers.
var decodePrefix = regexp.MustCompile(`^(decode [^:]*: )+`)

// reasonsOf returns why a delivery or its items cannot be read, one reason for each
// cause.
func reasonsOf(err error) []string {
	if err == nil {
		return nil
	}
	causes := []error{err}
	var unread *Unread
	if errors.As(err, &unread) && len(unread.Causes) > 0 {
		causes = unread.Causes
	}
	reasons := make([]string, len(causes))
	for n, cause := range causes {
		reasons[n] = cleanText(decodePrefix.ReplaceAllString(cause.Error(), ""), maxLine)
	}
	return reasons
}

// decodeSignals decodes the body of a row. It passes on the evaluation that was made
// when the delivery was received.
func decodeSignals(source Source, header http.Header, row Row) ([]incident.Signal, error) {
	if decoder, ok := source.(EvaluatedDecoder); ok && row.Evaluation != "" {
		return decoder.DecodeEvaluated(header, row.Body, row.Evaluation)
	}
	return source.Decode(header, row.Body)
}

// maxEventAge is the shortest time for which the inbox recognises a repeated delivery.
const maxEventAge = 365 * 24 * time.Hour

// staleTime returns the time of a signal whose signed time is older than maxEventAge,
// or the zero time. Deliveries that are not live may be of any age.
func staleTime(source Source, row Row, signals []incident.Signal) time.Time {
	dated, ok := source.(Dated)
	if !ok || !dated.SignsTimes() || row.Origin != incident.OriginLive {
		return time.Time{}
	}
	limit := row.Received.Add(-maxEventAge)
	for _, s := range signals {
		if s.Alert != nil && !s.Alert.At.IsZero() && s.Alert.At.Before(limit) {
			return s.Alert.At
		}
		if s.Command != nil && !s.Command.HappenedAt.IsZero() && s.Command.HappenedAt.Before(limit) {
			return s.Command.HappenedAt
		}
	}
	return time.Time{}
}

// undecodable sets the reasons for a decode failure, and adds the alerts about it.
func undecodable(out incident.DecodedDelivery, row Row, reasons ...string) incident.DecodedDelivery {
	out.Failed, out.Reprocessed = reasons[0], row.Reprocessed || row.WasUndecodable
	out.Signals = unreadSignals(row, reasons, false)
	return out
}

// normalize bounds the texts of a signal. It sets missing times and keys from
// the delivery.
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
			c.HappenedAt = time.Time{} // the sender's clock is ahead, and the zero time means now
		}
		s.Command = &c
	}
	return s
}

func cleanTags(tags map[string]string) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	clean := make(map[string]string, min(len(tags), maxTags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if len(clean) == maxTags {
			break
		}
		clean[oneLine(k)] = oneLine(tags[k])
	}
	return clean
}

// boundedKey returns s as a key that is only compared, never shown. A long key is
// hashed instead of cut, and keys that differ only at the end stay different.
func boundedKey(s string) string {
	if len(s) > maxLine {
		return text.Digest(s)
	}
	return oneLine(s)
}

// oneLine returns s on one line, with at most maxLine runes.
func oneLine(s string) string {
	if strings.ContainsAny(s, "\r\n\t") {
		s = strings.Join(strings.Fields(s), " ")
	}
	return cleanText(s, maxLine)
}

// cleanText returns s as valid UTF-8 with at most n runes. It removes control
// characters except line breaks and tabs.
func cleanText(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
	return text.Truncate(s, n)
}
