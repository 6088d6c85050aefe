package detect

import (
	"errors"
	"fmt"
	"io"
)

// Counts reports the contents of a stream.
type Counts struct {
	Records int `json:"records"`
	Invalid int `json:"invalid"` // values that are not records, each reported as a Problem
	Other   int `json:"other"`   // empty objects, digest files, other EventBridge events
}

// Problem is a part of a stream that is not a record.
type Problem struct {
	Offset int64 // in bytes of the decompressed stream
	Reason string
}

func (p Problem) Error() string { return fmt.Sprintf("at byte %d: %s", p.Offset, p.Reason) }

// Read calls each for every CloudTrail record of a stream. It reads the items of
// [ReadItems] and the records in EventBridge envelopes.
//
// A record is valid until each returns. If each returns an error, Read stops and
// returns it. Read calls bad for each part of the stream that is not a record and
// continues after it. It also returns errors of src and of the decompression.
func Read(src io.Reader, each func(*Record) error, bad func(Problem)) (Counts, error) {
	c := collector{each: each, bad: bad}
	err := ReadItems(src, Limits{}, c.take)
	if short := (*TruncatedError)(nil); err != nil && errors.As(err, &short) {
		c.reportTruncated(short)
		if err = short.Err; errors.Is(err, io.EOF) {
			err = nil
		}
	}
	return c.counts, err
}

// collector counts and passes on the records of a stream.
type collector struct {
	each   func(*Record) error
	bad    func(Problem)
	counts Counts
}

func (c *collector) report(at int64, reason string) {
	c.counts.Invalid++
	c.bad(Problem{at, reason})
}

func (c *collector) reportTruncated(e *TruncatedError) {
	if e.Record {
		c.report(e.Start, "the stream ends within a record")
	}
	if e.Array {
		c.report(e.End, "the stream ends within an array")
	}
	if !e.Record && !e.Array {
		c.report(e.Start, "the stream ends within a value")
	}
}

// take passes on the records of an item.
func (c *collector) take(item *Item) error {
	r := item.Record
	if r == nil {
		at := item.Offset
		reason := item.Err.Error()
		if syntax := new(SyntaxError); errors.As(item.Err, &syntax) {
			at, reason = at+int64(syntax.Offset), syntax.Reason
		}
		c.report(at, reason)
		return nil
	}
	if n, ok := r.child("Records"); ok {
		return c.takeList(r, n, item.Offset)
	}
	if n, ok := r.child("detail"); ok && r.nodes[n].kind == kindObject {
		if _, envelope := r.child("detail-type"); envelope {
			r.root = n
			if !r.isCloudTrail() {
				c.counts.Other++
				return nil
			}
		}
	}
	if r.isCloudTrail() {
		c.counts.Records++
		return c.each(r)
	}
	if _, digest := r.child("digestStartTime"); digest || r.nodes[r.root].next == r.root+1 {
		c.counts.Other++
		return nil
	}
	c.report(item.Offset, "not a CloudTrail record")
	return nil
}

// takeList passes on the elements of Records in an element of an array.
func (c *collector) takeList(r *Record, list int32, at int64) error {
	if r.nodes[list].kind != kindArray {
		c.counts.Other++
		return nil
	}
	for n := list + 1; n < r.nodes[list].next; n = r.nodes[n].next {
		r.root = n
		if r.nodes[n].kind != kindObject || !r.isCloudTrail() {
			c.report(at, "not a CloudTrail record")
			continue
		}
		c.counts.Records++
		if err := c.each(r); err != nil {
			return err
		}
	}
	return nil
}

// child returns the node of a key in the record's top-level object.
func (r *Record) child(key string) (int32, bool) {
	n, used := r.member(r.root, key)
	return n, n >= 0 && used == len(key)
}

// isCloudTrail reports whether the record has a key that CloudTrail records have.
func (r *Record) isCloudTrail() bool {
	for _, key := range []string{"eventName", "eventSource", "eventVersion", "userIdentity"} {
		if _, ok := r.child(key); ok {
			return true
		}
	}
	return false
}
