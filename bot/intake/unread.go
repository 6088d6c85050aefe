package intake

import (
	"fmt"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Unread is the error of [Source.Decode] for a delivery of which some items cannot be
// read. Decode returns the signals of the other items with it. The zero value has no
// items.
type Unread struct {
	Items  int     // of the delivery
	Bad    int     // of them, that cannot be read
	Causes []error // the first ones that differ
}

// maxCauses is the maximum number of causes of one delivery.
const maxCauses = 5

// Add counts an item. err is the reason why it cannot be read, or nil.
func (u *Unread) Add(err error) {
	u.Items++
	if err == nil {
		return
	}
	u.Bad++
	for _, known := range u.Causes {
		if causeOf(known.Error()) == causeOf(err.Error()) {
			return
		}
	}
	if len(u.Causes) < maxCauses {
		u.Causes = append(u.Causes, err)
	}
}

// Err returns u, or nil if every item was read.
func (u *Unread) Err() error {
	if u.Bad == 0 {
		return nil
	}
	return u
}

// Error implements error.
func (u *Unread) Error() string {
	return fmt.Sprintf("%d of %d items cannot be read: %v", u.Bad, u.Items, u.Causes[0])
}

// Unwrap returns the causes.
func (u *Unread) Unwrap() []error { return u.Causes }

// causeOf returns what reasons with the same cause have in common: a reason without its
// numbers, such as positions, and without long quotations.
func causeOf(reason string) string {
	var b strings.Builder
	digit := false
	for part := range strings.SplitAfterSeq(reason, `"`) {
		if len(part) > maxQuotation {
			part = part[:maxQuotation]
		}
		for _, r := range part {
			if r >= '0' && r <= '9' {
				if !digit {
					b.WriteByte('#')
				}
				digit = true
				continue
			}
			digit = false
			b.WriteRune(r)
		}
	}
	return text.Truncate(strings.ToValidUTF8(b.String(), "�"), maxLine)
}

// maxQuotation is the length of the part of a reason up to a quotation mark that
// distinguishes its cause, in bytes.
const maxQuotation = 120

// unreadSignals returns one alert for each cause for which a delivery, or a part of it,
// cannot be read. The desk opens an incident at the usual severity of the source.
func unreadSignals(row Row, reasons []string, partly bool) []incident.Signal {
	kind := incident.UndecodableKind(row.Source)
	what := "A delivery from " + row.Source
	if partly {
		what = "A part of a delivery from " + row.Source
	}
	since := row.Received.UTC().Truncate(time.Minute).Format(time.RFC3339)
	signals := make([]incident.Signal, len(reasons))
	for n, reason := range reasons {
		key := kind + "|" + text.SHA256(causeOf(reason))[:16]
		alert := incident.Alert{
			Source: row.Source, Kind: kind, Level: incident.LevelHigh, At: row.Received, Fingerprint: key, Correlation: key,
			Title: oneLine(what + " cannot be read: " + reason),
			Detail: cleanText(text.Lines(
				reason+".",
				text.Field("Sender", row.Sender)+".",
				fmt.Sprintf("Tocsin stored it, but nobody knows what it reports. To see it: `tocsin sources show D%d`.", row.ID),
				fmt.Sprintf("After a repair or an upgrade, decode it again: `tocsin replay --since %s --source %s`.", since, row.Source),
			), maxText),
		}.WithOrigin(row.Origin)
		signals[n] = incident.Signal{Row: row.ID, Alert: &alert, Unreadable: true}
	}
	return signals
}
