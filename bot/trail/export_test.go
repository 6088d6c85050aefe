package trail

import (
	"bufio"
	"io"
	"net/http"
)

// WithClient returns c with an HTTP client for the SDK.
func WithClient(c Config, client *http.Client) Config {
	c.client = client
	return c
}

// MaxRecord is the maximum size of a record in bytes.
const MaxRecord = maxRecord

// Split emits the records of a file.
func Split(r io.Reader, emit func(raw []byte, broken bool) error) error {
	return split(bufio.NewReaderSize(r, maxLine), emit)
}

// Unpack returns the content of a file within bounds.
func Unpack(r io.Reader, maxObject, maxContent int64) (io.Reader, error) {
	return unpack(r, maxObject, maxContent)
}

// Object is one object named in a message.
type Object struct{ Bucket, Key, Region, ETag, Version, Event string }

// Unwrap returns the objects named in a message.
func Unwrap(raw []byte) ([]Object, MessageOutcome) {
	notices, outcome := unwrap(raw)
	var out []Object
	for _, n := range notices {
		out = append(out, Object{n.Bucket, n.Key, n.Region, n.ETag, n.Version, n.Event})
	}
	return out, outcome
}
