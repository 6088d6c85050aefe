package intake

import "time"

// Outcome says how a request ended.
type Outcome string

// The outcomes, each a label of a counter.
const (
	Accepted      Outcome = "accepted"       // 202: committed, or known already
	Refused       Outcome = "refused"        // 401: not genuine
	NetworkDenied Outcome = "foreign"        // 403: not from an allowed network
	RateLimited   Outcome = "limited"        // 429: more requests than this sender may make
	Suspended     Outcome = "suspended"      // 429: too many failed verifications from this address
	Disabled      Outcome = "switched_off"   // 404: the source is off
	Malformed     Outcome = "malformed"      // 400: genuine, but nothing that can be read
	TooLarge      Outcome = "too_large"      // 413
	UnknownSource Outcome = "unknown_source" // 404
	WrongMethod   Outcome = "wrong_method"   // 405
	QueueFull     Outcome = "full"           // 503: too many deliveries wait already
	Failed        Outcome = "failed"         // 503: could not be verified or stored now
	ClientGone    Outcome = "gone"           // the sender hung up before its answer
)

// Observer counts what happens at the edge. It is called by many goroutines
// and must not block.
type Observer interface {
	// Delivery reports one request; source is "" where there is none of that name.
	Delivery(source string, outcome Outcome, took time.Duration)
	// Commit reports one shared commit.
	Commit(deliveries int, took time.Duration, err error)
	// Decoded reports one drained row; failed says that its shape is unknown.
	Decoded(source string, signals int, failed bool)
}

type noopObserver struct{}

func (noopObserver) Delivery(string, Outcome, time.Duration) {}
func (noopObserver) Commit(int, time.Duration, error)        {}
func (noopObserver) Decoded(string, int, bool)               {}
