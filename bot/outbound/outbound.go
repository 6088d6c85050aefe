// Package outbound bounds requests to outside systems. A system that answers
// slowly, endlessly or with a long pause must not block the bot. A [Transport]
// limits the size of each response and the pause that its headers request. A
// client of [NewClient] also limits the duration of a request.
//
//	client := outbound.NewClient(15*time.Second, outbound.Limits{})
package outbound

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter is the longest pause that an outside system may request.
const MaxRetryAfter = 5 * time.Minute

// DefaultMaxResponse is the maximum size of a response in bytes, unless
// [Limits] sets another.
const DefaultMaxResponse = 16 << 20

// ErrTooLarge reports that a response exceeds its maximum size.
var ErrTooLarge = errors.New("response too large")

// Limits are the bounds of a [Transport].
type Limits struct {
	MaxResponse int64             // in bytes, default DefaultMaxResponse
	Base        http.RoundTripper // default a clone of http.DefaultTransport
	IsLocal     bool              // without Base: for a request to this machine, which no proxy gets
	Clock       func() time.Time  // default time.Now
	Observe     func(Exchange)    // called after each request, may be nil
}

// Exchange is a request to an outside system and its result.
type Exchange struct {
	Sent, Received time.Time
	Response       *http.Response // without its body, nil after an error
	Err            error
}

// NewClient returns a client whose requests, including the bodies of their
// responses, take at most timeout.
func NewClient(timeout time.Duration, l Limits) *http.Client {
	return &http.Client{Timeout: timeout, Transport: NewTransport(l)}
}

// Transport is an [http.RoundTripper] that bounds responses. It is safe for
// concurrent use.
type Transport struct{ limits Limits }

// idleConns is how many connections to one host stay open. It exceeds the number of
// effects that run at once, so that none of them opens a connection of its own.
const idleConns = 32

// NewTransport returns a Transport.
func NewTransport(l Limits) *Transport {
	if l.MaxResponse == 0 {
		l.MaxResponse = DefaultMaxResponse
	}
	if l.Base == nil {
		base := http.DefaultTransport.(*http.Transport).Clone()
		base.MaxIdleConnsPerHost = idleConns
		if l.IsLocal {
			base.Proxy, base.DisableKeepAlives = nil, true
		}
		l.Base = base
	}
	if l.Clock == nil {
		l.Clock = time.Now
	}
	return &Transport{l}
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := t.limits.Clock()
	res, err := t.limits.Base.RoundTrip(r)
	if t.limits.Observe != nil {
		t.limits.Observe(Exchange{sent, t.limits.Clock(), res, err})
	}
	if err != nil {
		return nil, err
	}
	t.Bound(res)
	return res, nil
}

// Bound applies the limits to a response. Libraries that parse the headers then
// see bounded values only.
func (t *Transport) Bound(res *http.Response) {
	boundHeader(res.Header, "Retry-After", func(v string) string {
		if d, ok := ParseRetryAfter(v, t.limits.Clock()); ok {
			return formatSeconds(d)
		}
		return ""
	})
	boundHeader(res.Header, "X-Amz-Retry-After", boundMilliseconds)
	boundHeader(res.Header, "X-Sentry-Rate-Limits", boundRateLimits)
	if res.Body != nil && res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = &boundedBody{body: res.Body, max: t.limits.MaxResponse, left: t.limits.MaxResponse}
	}
}

// CloseIdleConnections closes idle connections of the base transport.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.limits.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// boundHeader replaces a header by its bounded value, or removes it if the bounded
// value is empty.
func boundHeader(h http.Header, name string, bound func(string) string) {
	value := h.Get(name)
	if value == "" {
		return
	}
	if value = bound(value); value == "" {
		h.Del(name)
		return
	}
	h.Set(name, value)
}

// boundMilliseconds bounds a number of milliseconds.
func boundMilliseconds(v string) string {
	d, ok := parseNumber(v, time.Millisecond)
	if !ok {
		return ""
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}

// boundRateLimits bounds the header X-Sentry-Rate-Limits. It is a list of limits,
// which begin with a number of seconds, such as "60:transaction, 2700:error".
func boundRateLimits(v string) string {
	var out []string
	for limit := range strings.SplitSeq(v, ",") {
		seconds, rest, _ := strings.Cut(strings.TrimSpace(limit), ":")
		if d, ok := parseNumber(seconds, time.Second); ok {
			out = append(out, formatSeconds(d)+":"+rest)
		}
	}
	return strings.Join(out, ", ")
}

// formatSeconds returns d as whole seconds, rounded up.
func formatSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// ParseRetryAfter parses a Retry-After header: a number of seconds or a date. The
// result is between 0 and [MaxRetryAfter]. A negative number and a date in the
// past give 0. It reports false for any other text.
func ParseRetryAfter(v string, now time.Time) (time.Duration, bool) {
	if d, ok := parseNumber(v, time.Second); ok {
		return d, true
	}
	at, err := http.ParseTime(strings.TrimSpace(v))
	if err != nil {
		return 0, false
	}
	return bound(at.Sub(now)), true
}

// parseNumber parses a decimal number of units. The comparison happens before the
// conversion to a duration, which would overflow.
func parseNumber(v string, unit time.Duration) (time.Duration, bool) {
	v = strings.TrimSpace(v)
	if v == "" || len(v) > 400 || strings.Trim(v, "+-.0123456789eE") != "" {
		return 0, false // ParseFloat also accepts "Inf", "NaN" and hexadecimal numbers
	}
	n, err := strconv.ParseFloat(v, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, false
	case n <= 0:
		return 0, true
	case n >= float64(MaxRetryAfter)/float64(unit):
		return MaxRetryAfter, true
	}
	return bound(time.Duration(n * float64(unit))), true
}

func bound(d time.Duration) time.Duration { return min(max(d, 0), MaxRetryAfter) }

// boundedBody is a response body that returns [ErrTooLarge] after its maximum.
type boundedBody struct {
	body      io.ReadCloser
	max, left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.tooLarge()
	}
	if int64(len(p)) > b.left+1 { // one byte more than allowed shows that the body is too large
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, b.tooLarge()
	}
	return n, err
}

func (b *boundedBody) tooLarge() error {
	return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, b.max)
}

func (b *boundedBody) Close() error { return b.body.Close() }
