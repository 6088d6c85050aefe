package trail

import "time"

// MessageOutcome says how a message of the queue ended.
type MessageOutcome string

// The outcomes of a message.
const (
	MessageDone     MessageOutcome = "done"     // everything committed, deleted
	MessageTest     MessageOutcome = "test"     // s3:TestEvent, deleted
	MessageEmpty    MessageOutcome = "empty"    // it names no object, deleted
	MessageUnknown  MessageOutcome = "unknown"  // JSON of another kind, deleted
	MessageNotJSON  MessageOutcome = "not_json" // deleted
	MessageLeft     MessageOutcome = "left"     // something failed; the queue brings it again
	MessageReturned MessageOutcome = "returned" // we are stopping; it was given back at once
)

// ObjectOutcome says how a file ended.
type ObjectOutcome string

// The outcomes of a file.
const (
	ObjectRead      ObjectOutcome = "read"      // every record that is worth keeping is committed
	ObjectKnown     ObjectOutcome = "known"     // it was read a short time ago
	ObjectSkipped   ObjectOutcome = "skipped"   // a digest, an insight, something that is not CloudTrail's
	ObjectRemoved   ObjectOutcome = "removed"   // somebody deleted a log file
	ObjectMissing   ObjectOutcome = "missing"   // NoSuchKey
	ObjectDenied    ObjectOutcome = "denied"    // AccessDenied
	ObjectTooBig    ObjectOutcome = "too_big"   // beyond the bounds, or a gzip bomb
	ObjectBroken    ObjectOutcome = "broken"    // cut off, or no gzip inside
	ObjectFailed    ObjectOutcome = "failed"    // the network, Amazon
	ObjectNotStored ObjectOutcome = "not_kept"  // the sink did not take it
	ObjectStopped   ObjectOutcome = "cancelled" // we are stopping
)

// Observer counts. It is called by many goroutines and must not block.
type Observer interface {
	// Polled reports one question to the queue.
	Polled(messages int, err error)
	// Message reports one message.
	Message(MessageOutcome)
	// Object reports one file.
	Object(outcome ObjectOutcome, took time.Duration)
	// Records reports the records of one file: committed, not worth keeping, unreadable.
	Records(kept, skipped, bad int)
}

type noopObserver struct{}

func (noopObserver) Polled(int, error)                   {}
func (noopObserver) Message(MessageOutcome)              {}
func (noopObserver) Object(ObjectOutcome, time.Duration) {}
func (noopObserver) Records(int, int, int)               {}
