package intake

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// reply is the HTTP response to a delivery. Status 202 has a fixed body. Every
// other status has the body {"error": {"code", "message"}}, and the message
// names the problem and then the fix.
type reply struct {
	outcome    Outcome
	status     int
	code       string
	message    string
	retryAfter time.Duration // only for status 429, because status 503 always has 5 s
}

// WriteError writes an error as JSON: {"error": {"code", "message"}}, with the field if
// the error has one.
func WriteError(w http.ResponseWriter, status int, e *incident.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]*incident.Error{"error": e}) // fails only if the client disconnected
}

func (r reply) write(w http.ResponseWriter) {
	switch r.status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(r.retryAfter.Seconds()))))
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusRequestEntityTooLarge:
		w.Header().Set("Connection", "close") // the rest of the body is not read
	}
	if r.status == http.StatusAccepted {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, "{\"status\":\"accepted\"}\n") // fails only if the sender disconnected
		return
	}
	WriteError(w, r.status, &incident.Error{Code: incident.Code(r.code), Sentence: incident.Say("%s", r.message)})
}

// verifyError turns an error of [Source.Verify] into a reply. Errors that the
// sender did not cause become status 503, because a sender retries after a 5xx.
func (e *Edge) verifyError(source Source, err error) reply {
	switch {
	case errors.Is(err, &incident.Error{Code: incident.CodeForbidden}):
		return reply{outcome: Refused, status: http.StatusUnauthorized, code: "unauthorized", message: errorMessage(err)}
	case errors.Is(err, &incident.Error{Code: incident.CodeInvalid}):
		return reply{outcome: Malformed, status: http.StatusBadRequest, code: "invalid", message: errorMessage(err)}
	}
	e.log.Error("verify delivery failed", "source", source.Name(), "err", err)
	return reply{outcome: Failed, status: http.StatusServiceUnavailable, code: "unavailable", message: "Tocsin cannot verify the delivery at the moment. Send it again"}
}

// errorMessage returns the message of the incident.Error in err, without its code.
func errorMessage(err error) string {
	var e *incident.Error
	errors.As(err, &e)
	return e.Error()
}

// capacityError returns the 503 for ErrFull and ErrStopped.
func capacityError(err error) *reply {
	r := &reply{outcome: QueueFull, status: http.StatusServiceUnavailable, code: "queue_full", message: err.Error() + ". Send the delivery again"}
	if errors.Is(err, ErrStopped) {
		r.outcome, r.code = Failed, "stopping"
	}
	return r
}
