package trail

import (
	"bufio"
	"io"
	"net/http"
)

// WithClient has the SDK use this client.
func WithClient(c Config, client *http.Client) Config {
	c.client = client
	return c
}

// MaxRecord bounds a record.
const MaxRecord = maxRecord

// Split takes a file apart.
func Split(r io.Reader, emit func(raw []byte, broken bool) error) error {
	return split(bufio.NewReaderSize(r, maxLine), emit)
}

// Unpack unpacks a file within bounds.
func Unpack(r io.Reader, maxObject, maxContent int64) (io.Reader, error) {
	return unpack(r, maxObject, maxContent)
}

// Object is one object that a message announces.
type Object struct{ Bucket, Key, Region, ETag, Version, Event string }

// Unwrap finds the objects that a message announces.
func Unwrap(raw []byte) ([]Object, MessageOutcome) {
	notices, outcome := unwrap(raw)
	var out []Object
	for _, n := range notices {
		out = append(out, Object{n.Bucket, n.Key, n.Region, n.ETag, n.Version, n.Event})
	}
	return out, outcome
}
