// Package feed builds and sends the requests of external alert sources.
// [Sentry] posts webhooks signed over their exact bytes. [CloudTrail] posts
// events as an EventBridge API destination does, with an API key.
//
// An [Issue] or a [Call] is generated from a seed and the result depends only
// on that seed. A [Copy] identifies one occurrence of an issue or call.
// Occurrences differ only in delivery ID, event ID and time, which lets a test
// send ten thousand copies of one alert. Bodies and deliveries can be built
// before they are sent, and sent any number of times.
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

// Copy identifies one occurrence of an issue or call. The zero value is the first
// occurrence.
type Copy struct {
	N          int       // number of the event, which changes event ID and delivery ID
	Redelivery int       // number of the redelivery, which changes only the delivery ID
	At         time.Time // time of the event, set by Sentry and CloudTrail if zero
	PadKB      int       // minimum size of the body in KB
	Marker     []string  // strings placed in fields that usually hold personal data, for leak tests
}

// Delivery is a request that can be sent any number of times. Senders repeat a
// delivery if they did not receive a response.
type Delivery struct {
	ID     string // Request-ID of Sentry, or id of an EventBridge event
	URL    string
	Header http.Header
	Body   []byte
}

// Answer is the receiver's response.
type Answer struct {
	ID     string // of the delivery
	Status int    // HTTP status, 0 without a response
	Body   string // first KB of the response body
	Took   time.Duration
}

// send posts a delivery and waits at most timeout for the response. It returns
// an error if there is no response.
func send(ctx context.Context, c *http.Client, d Delivery, timeout time.Duration) (Answer, error) {
	if c == nil {
		c = http.DefaultClient
	}
	a := Answer{ID: d.ID}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(d.Body))
	if err != nil {
		return a, fmt.Errorf("build delivery %s: %w", d.ID, err)
	}
	req.Header = d.Header.Clone()
	began := time.Now() // real time, even if the sender's clock is simulated
	res, err := c.Do(req)
	if err != nil {
		a.Took = time.Since(began)
		return a, fmt.Errorf("send delivery %s: %w", d.ID, err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10)) // only the status matters
	a.Status, a.Body, a.Took = res.StatusCode, string(body), time.Since(began)
	return a, nil
}

// digest returns the SHA-256 of parts. IDs are derived from it.
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

// newRand returns a random source that is a function of kind and seed.
// Different kinds of one seed get independent sources.
func newRand(kind string, seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, binary.BigEndian.Uint64(digest(kind))))
}

func choose[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// randomIP returns an address in one of the networks reserved for
// documentation.
func randomIP(r *rand.Rand) string {
	return fmt.Sprintf("%s.%d", choose(r, "203.0.113", "198.51.100", "192.0.2"), 1+r.IntN(254))
}

// encodePadded encodes the result of build. If the body is too short, it builds
// and encodes again with padding.
func encodePadded(kb int, build func(padding string) any) []byte {
	body := encode(build(""))
	if short := kb<<10 - len(body); short > 0 {
		const filler = "GET /v1/payslips?page=2 200 34ms; "
		body = encode(build(strings.Repeat(filler, short/len(filler)+1)))
	}
	return body
}

// encode writes compact JSON with all non-ASCII characters escaped, like a
// Python sender. A receiver that verifies re-encoded JSON instead of the raw
// bytes fails on it.
func encode(v any) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("feed: encode: %v", err)) // only maps, strings and numbers are encoded
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
