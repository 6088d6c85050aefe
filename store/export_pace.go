package store

import (
	"context"
	"io"
	"time"
)

const (
	// paceSlice is how long an export works before it pauses.
	paceSlice = 500 * time.Microsecond
	// pacePause is how many times as long the pause is.
	pacePause = 3
)

// pacedWriter pauses three times as long as the export worked, so the export takes at most a quarter of a processor and of a
// disk. Other transactions wait less then: alerts must not wait for a backup.
type pacedWriter struct {
	ctx   context.Context
	out   io.Writer
	began time.Time // of the work since the last pause
}

// Write implements [io.Writer].
func (w *pacedWriter) Write(b []byte) (int, error) {
	if worked := time.Since(w.began); worked >= paceSlice {
		if !sleep(w.ctx, pacePause*worked) {
			return 0, context.Cause(w.ctx)
		}
		w.began = time.Now()
	}
	return w.out.Write(b)
}
