package control

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// controlReadTimeout is how long a client of the control socket may take to send
	// a request, which can contain megabytes of deliveries, or to send the next one.
	controlReadTimeout = 2 * time.Minute
	// controlWriteTimeout is how long a client may take to read a part of a response.
	controlWriteTimeout = 30 * time.Second
)

// withDeadlines closes the connection of a client that does not send the rest of
// its request within read, or does not read a part of the response within write.
// Each write has a deadline, because an export or a check of all data may take
// longer. Without deadlines, such a client occupies a database connection until
// the bot stops, and delays the stop.
//
// [http.Server.ReadTimeout] would also cancel the context of a handler that takes
// longer.
func withDeadlines(h http.Handler, read, write time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := http.NewResponseController(w)
		_ = conn.SetReadDeadline(time.Now().Add(read))
		r.Body = &deadlineBody{r.Body, conn}
		rolling := &rollingWriter{w, conn, write}
		defer rolling.extend() // for the rest, which the server writes after the handler
		h.ServeHTTP(rolling, r)
	})
}

// deadlineBody removes the deadline of a request when its body ends.
type deadlineBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

func (b *deadlineBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// rollingWriter sets a deadline for each write.
type rollingWriter struct {
	http.ResponseWriter
	conn    *http.ResponseController
	timeout time.Duration
}

func (w *rollingWriter) extend() {
	_ = w.conn.SetWriteDeadline(time.Now().Add(w.timeout))
}

// Write implements [io.Writer].
func (w *rollingWriter) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// Unwrap supports [http.ResponseController].
func (w *rollingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
