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

// reply is what a sender is told.
type reply struct {
	outcome    Outcome
	status     int
	code       string
	message    string
	retryAfter time.Duration // when to try again; 503: in five seconds
}

func (a reply) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	switch a.status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(a.retryAfter.Seconds()))))
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusRequestEntityTooLarge:
		w.Header().Set("Connection", "close") // the rest of the body is not read
	}
	w.WriteHeader(a.status)
	if a.status == http.StatusAccepted {
		_, _ = io.WriteString(w, "{\"status\":\"accepted\"}\n") // the sender may be gone
		return
	}
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = a.code, a.message
	_ = json.NewEncoder(w).Encode(body) // the sender may be gone
}

// verifyError turns an error of Verify into an answer. What is not the sender's
// fault is a 5xx, so that the sender keeps the delivery and tries again.
func (e *Edge) verifyError(source Source, err error) reply {
	switch {
	case errors.Is(err, &incident.Error{Code: incident.CodeForbidden}):
		return reply{outcome: Refused, status: http.StatusUnauthorized, code: "unauthorized", message: errorMessage(err)}
	case errors.Is(err, &incident.Error{Code: incident.CodeInvalid}):
		return reply{outcome: Malformed, status: http.StatusBadRequest, code: "invalid", message: errorMessage(err)}
	}
	e.log.Error("verify delivery", "source", source.Name(), "error", err)
	return reply{outcome: Failed, status: http.StatusServiceUnavailable, code: "unavailable", message: "deliveries of this source cannot be checked now; try again"}
}

func errorMessage(err error) string {
	var e *incident.Error
	errors.As(err, &e)
	return e.Error()
}

// capacityError tells a sender that there is no room.
func capacityError(err error) *reply {
	a := &reply{outcome: QueueFull, status: http.StatusServiceUnavailable, code: "full", message: err.Error() + "; try again"}
	if errors.Is(err, ErrStopped) {
		a.outcome, a.code = Failed, "stopping"
	}
	return a
}
