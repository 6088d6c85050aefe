package trail

import "time"

// MessageOutcome is the result of one message. Its value is a metric label.
type MessageOutcome string

// The outcomes of a message.
const (
	MessageDone     MessageOutcome = "done"     // all records committed, message deleted
	MessageTest     MessageOutcome = "test"     // s3:TestEvent, deleted
	MessageEmpty    MessageOutcome = "empty"    // names no object, deleted
	MessageUnknown  MessageOutcome = "unknown"  // JSON of another kind, or in part, reported and deleted
	MessageNotJSON  MessageOutcome = "not_json" // reported and deleted
	MessageLeft     MessageOutcome = "left"     // a file failed, SQS delivers the message again
	MessageReturned MessageOutcome = "returned" // released at shutdown
)

// ObjectOutcome is the result of one file. Its value is a metric label and the
// reason in an alert about an unreadable file.
type ObjectOutcome string

// The outcomes of a file.
const (
	ObjectRead      ObjectOutcome = "read"       // all records that match the filter are committed
	ObjectKnown     ObjectOutcome = "known"      // read recently
	ObjectSkipped   ObjectOutcome = "skipped"    // not a log file or an exported finding
	ObjectRemoved   ObjectOutcome = "removed"    // a log file was deleted
	ObjectMissing   ObjectOutcome = "missing"    // NoSuchKey, NoSuchBucket or NoSuchVersion
	ObjectDenied    ObjectOutcome = "denied"     // access denied, by S3, KMS or the storage class
	ObjectTooBig    ObjectOutcome = "too_big"    // above the size limits, or a gzip bomb
	ObjectBroken    ObjectOutcome = "broken"     // truncated, or invalid gzip data
	ObjectFailed    ObjectOutcome = "failed"     // another error of the network or of Amazon
	ObjectNotStored ObjectOutcome = "not_stored" // the sink returned an error
	ObjectStopped   ObjectOutcome = "cancelled"  // shutdown
)

// Observer records metrics of a [Source]. Its methods are called concurrently and
// must not block.
type Observer interface {
	// Polled records one attempt to receive messages.
	Polled(messages int, err error)
	// Message records one message.
	Message(MessageOutcome)
	// Object records one file.
	Object(outcome ObjectOutcome, took time.Duration)
	// Records records the numbers of stored, filtered and unreadable records of one
	// file.
	Records(stored, skipped, bad int)
}

type noopObserver struct{}

func (noopObserver) Polled(int, error)                   {}
func (noopObserver) Message(MessageOutcome)              {}
func (noopObserver) Object(ObjectOutcome, time.Duration) {}
func (noopObserver) Records(int, int, int)               {}
