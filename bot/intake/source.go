package intake

import (
	"context"
	"net/http"
	"time"

	"tocsin/bot/incident"
)

// Source is one outside system that sends webhooks.
type Source interface {
	// Name is the last element of the path: POST /hooks/<name>.
	Name() string
	// Headers names the request headers that Decode needs; only these are kept
	// with the body. A header that carries a credential is never among them.
	Headers() []string
	// Verify checks that the delivery is genuine, on the raw body, and returns
	// the id that tells this delivery from others. A refusal is an
	// *incident.Error with CodeForbidden (401) or CodeInvalid (400).
	Verify(header http.Header, body []byte, now time.Time) (delivery string, err error)
	// Decode says what a verified body means. No signal and no error: nothing
	// to do. An error: the body is of an unknown shape; it is kept and shown to a person.
	Decode(header http.Header, body []byte) ([]incident.Signal, error)
}

// Delivery is a verified request on its way into the store.
type Delivery struct {
	Source   string
	ID       string            // unique within the source
	Header   map[string]string // the few headers that Decode needs
	Body     []byte
	Received time.Time
	Sender   string // network address
	Verified string // how it was found to be genuine, for the evidence
}

// Row is a delivery as it is stored.
type Row struct {
	ID             int64
	Reprocessed    bool // it is evaluated anew: what it meant was counted the first time
	WasUndecodable bool // it is evaluated anew, after it could not be read: that was counted, what it means was not
	Delivery
}

// Store is what intake needs of a database.
type Store interface {
	// Accept writes deliveries that are not known yet in one durable commit, which
	// also sees to it that those that are new are drained. A known (source, id) is
	// no error.
	Accept(ctx context.Context, ds []Delivery) error
	// Rows loads the first stored deliveries in a range of ids that nobody handled
	// yet: as many as fit into memory, and none only if there are none.
	Rows(ctx context.Context, from, to int64) ([]Row, error)
}

// Desk takes what deliveries meant. It marks the rows handled in the same
// transaction as everything that follows from them; a row that was handled
// already is skipped, so a repeated drain changes nothing.
type Desk interface {
	Ingest(ctx context.Context, batch []incident.DecodedDelivery) error
}
