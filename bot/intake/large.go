package intake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// A body above Limits.MaxBody of a sender that is verified is shortened instead of refused,
// because senders do not repeat a delivery that was refused.
const (
	maxLargeBody   = 8 << 20  // bytes that are read of one, or Limits.MaxBody if that is more
	maxLargeBodies = 2        // bodies that are shortened at the same time
	maxDrained     = 32 << 20 // bytes after maxLargeBody that are read and dropped, so that the sender receives the answer
)

// headerShortened is a stored header of a shortened body. No request can set it, because
// only the headers that a source names are stored.
const headerShortened = "Tocsin-Shortened"

// shortening describes a shortened body.
type shortening struct {
	size    int64 // of the received body, in bytes
	leftOut int   // elements of its lists
	cut     bool  // the body was longer than size
}

func (s shortening) String() string { return fmt.Sprintf("%d %d %t", s.size, s.leftOut, s.cut) }

func parseShortening(header string) (s shortening, ok bool) {
	_, err := fmt.Sscanf(header, "%d %d %t", &s.size, &s.leftOut, &s.cut)
	return s, err == nil
}

// describe returns what happened to the body, as a sentence without its full stop.
func (s shortening) describe() string {
	than := ""
	if s.cut {
		than = "more than "
	}
	out := fmt.Sprintf("The body had %s%d bytes, more than limits.max_body of the source. Tocsin kept the beginning", than, s.size)
	if s.leftOut > 0 {
		out += fmt.Sprintf(" and left out %d items", s.leftOut)
	}
	return out
}

// canBeLarge reports whether a body above the limit is read: if its sender is verified
// before the body is read. The error is the reply to a wrong credential.
func (e *Edge) canBeLarge(ep *endpoint, r *http.Request) (allowed, byHeader bool, bad *reply) {
	if verifier, ok := ep.Source.(HeaderVerifier); ok {
		if possible, err := verifier.VerifyHeader(r.Header); possible {
			if err != nil {
				rejected := e.verifyError(ep, err)
				return false, true, &rejected
			}
			return true, true, nil
		}
	}
	return r.ContentLength <= ep.largeLimit() && e.admission.isVerified(e.admission.Sender(r)), false, nil
}

func (ep *endpoint) largeLimit() int64 { return max(maxLargeBody, ep.limits.MaxBody) }

// readLarge reads and verifies a body above the limit, and shortens it. It reads and drops
// the rest of a body above largeLimit after it has released the slot, because a slow sender
// must not stop other large bodies.
func (e *Edge) readLarge(ep *endpoint, w http.ResponseWriter, r *http.Request, v Delivery, byHeader bool) (Delivery, *reply) {
	select {
	case e.large <- struct{}{}:
	case <-r.Context().Done():
		gone := clientGone("too many large bodies arrive at the same time. Send the delivery again")
		return v, &gone
	}
	v, hasRest, bad := e.shortenLarge(ep, w, r, v, byHeader)
	if hasRest {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrained) // the rest has no use
	}
	return v, bad
}

// shortenLarge is readLarge without the rest of the body, which hasRest reports. It
// releases a slot, which bounds the memory of these bodies.
func (e *Edge) shortenLarge(ep *endpoint, w http.ResponseWriter, r *http.Request, v Delivery, byHeader bool) (_ Delivery, hasRest bool, _ *reply) {
	defer func() { <-e.large }()
	b, err := e.admission.read(w, r, e.admission.Sender(r), ep.largeLimit())
	defer b.release()
	if err != nil {
		return v, false, e.unread(r, err)
	}
	full := b.bytes
	cut := int64(len(full)) > ep.largeLimit()
	if cut && !byHeader {
		return v, false, ep.tooLarge()
	}
	v.Header = selectHeaders(r.Header, ep.Headers())
	if !byHeader { // the signature covers the whole body
		v.Body = full
		if bad := e.verify(ep, r, &v, b); bad != nil {
			return v, cut, bad
		}
	}
	short, leftOut, malformed := shortenBody(full, cut, int(ep.limits.MaxBody))
	v.Body = short
	if byHeader {
		if bad := e.verify(ep, r, &v, b); bad != nil {
			return v, cut, bad
		}
	}
	if malformed != nil {
		v.markMalformed(ep, r.Header, malformed, full)
	}
	v.Header[headerShortened] = shortening{size: int64(len(full)), leftOut: leftOut, cut: cut}.String()
	v.Verified += fmt.Sprintf(", shortened from %d bytes with the SHA-256 %s", len(full), text.SHA256(full))
	e.log.Warn("delivery shortened", "source", ep.Name(), "sender", v.Sender, "bytes", len(full), "left_out", leftOut)
	return v, cut, nil
}

// shortenBody returns a document with the first items of a body, and the number of items
// that it left out. If the body cannot be shortened, shortenBody returns its first bytes and
// the reason. cut reports whether the end of the body is missing.
func shortenBody(full []byte, cut bool, limit int) (short []byte, leftOut int, err error) {
	document := jsonText(full)
	beginning := full[:min(limit, len(full))]
	if cut {
		if document, err = completeJSON(document); err != nil {
			return bytes.Clone(beginning), 0, errors.New("the body is not a JSON object or list. Send one JSON document")
		}
	}
	if err := validateJSON(document); err != nil {
		return bytes.Clone(beginning), 0, err
	}
	short, leftOut, err = shorten(document, limit, 0)
	if err != nil {
		return bytes.Clone(beginning), 0, errors.New("the body is too large and has no list or text that can be shortened. Send less in one delivery")
	}
	return short, leftOut, nil
}

// tooLarge returns the reply to a body above the limit.
func (ep *endpoint) tooLarge() *reply {
	return &reply{outcome: TooLarge, status: http.StatusRequestEntityTooLarge, code: "too_large", message: fmt.Sprintf("the body is larger than %d bytes. Send less or raise limits.max_body of this source", ep.limits.MaxBody)}
}

// levelOrder orders the levels, the most severe first.
var levelOrder = []incident.Level{incident.LevelCritical, incident.LevelHigh, incident.LevelMedium, incident.LevelLow, incident.LevelInformational}

// shortenedSignal returns the alert about a shortened delivery. Routing rules judge it like
// the most severe alert that was read, and it belongs to the same incident.
func shortenedSignal(row Row, s shortening, signals []incident.Signal) incident.Signal {
	var worst *incident.Alert
	for _, level := range levelOrder {
		for _, signal := range signals {
			if worst == nil && signal.Alert != nil && !signal.Unreadable && signal.Alert.Level == level {
				worst = signal.Alert
			}
		}
	}
	if worst == nil {
		return unreadSignals(row, []string{strings.TrimSpace(s.describe()) + ", and it contains no alert"}, true)[0]
	}
	a := *worst
	a.Title = "A delivery from " + row.Source + " was too large"
	if s.leftOut > 0 {
		a.Title += ": " + strconv.Itoa(s.leftOut) + " items were left out"
	}
	a.Detail = text.Lines(s.describe()+". They may be more severe than those that were read: look at the sending system.",
		"The most severe alert that was read: "+worst.Title, fmt.Sprintf("To see the rest: `tocsin sources show D%d`.", row.ID))
	a.Fingerprint, a.EventID, a.Report = boundedKey(worst.Fingerprint+"|shortened"), "", nil
	a.LeftOut = s.leftOut
	if a.Correlation == "" {
		a.Correlation = worst.Source + ":" + worst.Identity()
	}
	return incident.Signal{Row: row.ID, Alert: &a}
}

// unread returns the reply to a body that could not be read.
func (e *Edge) unread(r *http.Request, err error) *reply {
	switch {
	case errors.Is(err, errEvicted):
		evicted := evictedReply()
		return &evicted
	case r.Context().Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		late := clientGone("the body did not arrive in time. Send the delivery again")
		return &late
	}
	return &reply{outcome: Malformed, status: http.StatusBadRequest, code: "unreadable", message: "the body is incomplete. Send the whole body"}
}
