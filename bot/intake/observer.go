package intake

import "time"

// Outcome is the result of one request. Its value is a metric label.
type Outcome string

// The outcomes of a request, with the HTTP status of the reply.
const (
	Accepted      Outcome = "accepted"       // 202: stored now or earlier
	Refused       Outcome = "refused"        // 401: verification failed
	NetworkDenied Outcome = "network_denied" // 403: the sender is not in an allowed network
	RateLimited   Outcome = "rate_limited"   // 429: the sender exceeded its rate
	Disabled      Outcome = "disabled"       // 404: the source is disabled
	Malformed     Outcome = "malformed"      // 400, 415: the body cannot be read
	TooLarge      Outcome = "too_large"      // 413
	UnknownSource Outcome = "unknown_source" // 404
	WrongMethod   Outcome = "wrong_method"   // 405
	QueueFull     Outcome = "queue_full"     // 503: too many deliveries are waiting
	Evicted       Outcome = "evicted"        // 503: the body gave way to another sender
	Failed        Outcome = "failed"         // 503: verification or storage is unavailable
	ClientGone    Outcome = "client_gone"    // 503: the sender disconnected or was too slow
)

// Observer records metrics of an [Edge]. Its methods are called concurrently
// and must not block.
type Observer interface {
	// Delivery records one request. The source is "" if the path names none.
	Delivery(source string, outcome Outcome, took time.Duration)
	// Commit records one group commit.
	Commit(deliveries int, took time.Duration, err error)
	// Decoded records one drained row. If failed is true, the body was undecodable.
	Decoded(source string, signals int, failed bool)
}

type noopObserver struct{}

func (noopObserver) Evicted(Resource) {}
func (noopObserver) Refused(Resource) {}

func (noopObserver) Delivery(string, Outcome, time.Duration) {}
func (noopObserver) Commit(int, time.Duration, error)        {}
func (noopObserver) Decoded(string, int, bool)               {}
