package trail

import (
	"context"
	"io"
	"net/http"
)

// WithClient returns d with an HTTP client for the SDK.
func WithClient(d Deps, client *http.Client) Deps {
	d.client = client
	return d
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

// ReadFile stores the records of a file.
func (s *Source) ReadFile(ctx context.Context, body io.Reader) (stored, skipped, bad int, err error) {
	f := &file{source: s}
	err = f.read(ctx, body)
	return f.stored, f.skipped, f.bad, err
}
