package intake

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"tocsin/bot/incident"
)

// Source verifies and decodes the webhooks of one outside system. Its methods
// are called concurrently.
type Source interface {
	// Name returns the last element of the webhook's path, POST /hooks/{name}.
	Name() string
	// Headers lists the request headers that Decode needs. Only these are stored
	// with the body, and never a header that contains a credential.
	Headers() []string
	// Verify authenticates the raw body and returns the delivery's ID, or "" if
	// the sender gave none. It returns an *incident.Error with CodeForbidden (401)
	// or CodeInvalid (400) to reject the delivery. Any other error is answered
	// with 503, and the sender retries. ctx ends when the sender hangs up.
	Verify(ctx context.Context, header http.Header, body []byte, now time.Time) (delivery string, err error)
	// Decode converts a verified body into signals. It returns no signal and no
	// error if the body needs no action. It returns an error if the body has an
	// unknown shape, and an *[Unread] with the signals of the other items if only some
	// items have one. The delivery then stays stored, and an alert reports it.
	Decode(header http.Header, body []byte) ([]incident.Signal, error)
}

// EvaluatedDecoder is a [Source] whose deliveries can carry the result of an
// evaluation that was made when they were received.
type EvaluatedDecoder interface {
	// DecodeEvaluated is Decode with the evaluation of the delivery. It evaluates the
	// delivery again if the evaluation is no longer valid.
	DecodeEvaluated(header http.Header, body []byte, evaluation string) ([]incident.Signal, error)
}

// Dated is a [Source] whose signature covers the times of its events. Such a source
// cannot prevent that a recorded delivery is sent again years later, and the inbox
// recognises a repeat only while it stores the first delivery.
type Dated interface {
	// SignsTimes reports whether the times of the decoded signals are signed.
	SignsTimes() bool
}

// SenderVerifier is implemented by a [Source] whose verification can cause requests
// to other systems. The edge calls VerifyFrom instead of Verify, so the source can
// limit the requests of each sender.
type SenderVerifier interface {
	VerifyFrom(ctx context.Context, from netip.Addr, header http.Header, body []byte, now time.Time) (delivery string, err error)
}

// HeaderVerifier is a [Source] whose senders can present a credential in a header. A
// delivery can then be verified before its body is read.
type HeaderVerifier interface {
	// VerifyHeader verifies the header of a delivery. It returns false if the credential
	// of the source depends on the body. The error is like that of Verify.
	VerifyHeader(h http.Header) (possible bool, err error)
}

// Delivery is one verified webhook request, or one mail or record that an
// adapter received in another way.
type Delivery struct {
	Source   string
	ID       string            // unique within the source and the origin
	Origin   incident.Origin   // never from the request
	Header   map[string]string // the headers named by Source.Headers
	Body     []byte
	Received time.Time
	Sender   string // network address
	Verified string // how the delivery was authenticated, for the evidence
	// Evaluation is for the source's [EvaluatedDecoder], or empty.
	Evaluation string
}

// Row is a stored delivery.
type Row struct {
	ID             int64
	Reprocessed    bool // decoded before: its signals were counted then
	WasUndecodable bool // decoded before without success: only the failure was counted
	PartlyRead     bool // decoded before, without success for some items
	Delivery
}

// Store persists deliveries. It is safe for concurrent use.
type Store interface {
	// Accept stores deliveries in one durable commit and schedules a drain of the
	// new ones. It ignores a delivery whose source and ID are already stored.
	Accept(ctx context.Context, ds []Delivery) error
	// Rows loads the first unhandled deliveries whose ID is between from and to,
	// both included. It returns as many as fit into memory, and an empty slice only
	// if none is left.
	Rows(ctx context.Context, from, to int64) ([]Row, error)
}

// Desk turns decoded deliveries into alerts and commands.
type Desk interface {
	// Ingest processes the signals of a batch and marks its rows handled, in one
	// transaction. It skips rows that are already handled, and a repeated drain
	// therefore changes nothing.
	Ingest(ctx context.Context, batch []incident.DecodedDelivery) error
}
