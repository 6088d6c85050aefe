// Package feed sends what the outside systems send: Sentry's integration
// platform webhooks, signed over their exact bytes, and CloudTrail events as
// an EventBridge API destination posts them, with its API key.
//
// What is told (an Issue, a Call) is made from a seed and stays the same
// between copies; a Copy says which telling of it this is. So ten thousand
// copies of one alert differ in delivery id, event id and time and in nothing
// else, and the same seed gives the same bytes again. Bodies and whole
// deliveries can be built ahead of sending them, as often as wanted.
package feed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Copy says which telling of one thing a body is. The zero value, with a
// time, is the first.
type Copy struct {
	N      int       // another event of the same kind: other event id and delivery id
	Again  int       // the same event delivered once more under another delivery id
	At     time.Time // when it happened; a sender fills in its clock where this is zero
	PadKB  int       // make the body at least so many KB long
	Marker []string  // strings to hide where personal data usually stands, for tests that look for leaks
}

// Delivery is one request, ready to be sent as often as wanted. Sending it a
// second time is what a sender does that did not hear the first answer.
type Delivery struct {
	ID     string // Request-ID of Sentry, id of an EventBridge event
	URL    string
	Header http.Header
	Body   []byte
}

// Answer is what the receiver said.
type Answer struct {
	ID     string // of the delivery
	Status int    // 0: no answer
	Body   string // its first KB
	Took   time.Duration
}

// send posts a delivery and gives up after the time that the real sender
// allows. An error means that there was no answer.
func send(ctx context.Context, c *http.Client, d Delivery, within time.Duration) (Answer, error) {
	if c == nil {
		c = http.DefaultClient
	}
	a := Answer{ID: d.ID}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(d.Body))
	if err != nil {
		return a, fmt.Errorf("build delivery %s: %w", d.ID, err)
	}
	req.Header = d.Header.Clone()
	began := time.Now() // of the wire, not of the story
	res, err := c.Do(req)
	if err != nil {
		a.Took = time.Since(began)
		return a, fmt.Errorf("send delivery %s: %w", d.ID, err)
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // the status is the answer
	a.Status, a.Body, a.Took = res.StatusCode, string(said), time.Since(began)
	return a, nil
}

// digest derives an id from what identifies it.
func digest(parts ...any) []byte {
	sum := sha256.Sum256(fmt.Appendln(nil, parts...))
	return sum[:]
}

func hexID(parts ...any) string { return hex.EncodeToString(digest(parts...)[:16]) }

func uuid(parts ...any) string {
	b := digest(parts...)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// chooser makes the choices of one seed; kind keeps different things of the
// same seed apart.
func chooser(kind string, seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, binary.BigEndian.Uint64(digest(kind))))
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// address is one of the networks reserved for documentation.
func address(r *rand.Rand) string {
	return fmt.Sprintf("%s.%d", pick(r, "203.0.113", "198.51.100", "192.0.2"), 1+r.IntN(254))
}

// padded encodes what build makes, a second time with padding where the first
// was too short.
func padded(kb int, build func(padding string) any) []byte {
	body := encode(build(""))
	if short := kb<<10 - len(body); short > 0 {
		const filler = "GET /v1/payslips?page=2 200 34ms; "
		body = encode(build(strings.Repeat(filler, short/len(filler)+1)))
	}
	return body
}

// encode writes JSON as a Python sender does: compact, and everything that is
// not ASCII escaped. A receiver that verifies anything but the raw bytes fails
// on it.
func encode(v any) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("feed: encode: %v", err)) // only maps, strings and numbers are ever built
	}
	raw := bytes.TrimRight(buf.Bytes(), "\n")
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		switch {
		case r < utf8.RuneSelf:
			out = append(out, raw[0])
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		raw = raw[n:]
	}
	return out
}

type object = map[string]any
