package page

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/pager"
)

// apiError is an error with its HTTP status and code.
type apiError struct {
	status        int
	code, message string
}

func (r *apiError) Error() string { return r.message }

func notFound(message string) error { return &apiError{http.StatusNotFound, "not_found", message} }

func badRequest(message string) error {
	return &apiError{http.StatusBadRequest, "bad_request", message}
}

// maxBody is the maximum size of a request body. It allows uploads of about 24 MB in base64.
const maxBody = 32 << 20

// classify returns an error with status and code. Unknown errors are actions that
// Slack's client would not allow.
func classify(err error) *apiError {
	var r *apiError
	var client *chat.ClientError
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &client):
		return &apiError{http.StatusBadGateway, client.Code, client.Text}
	case errors.Is(err, chat.ErrOffline):
		return &apiError{http.StatusServiceUnavailable, "offline", err.Error()}
	case errors.Is(err, pager.ErrNoIncident), errors.Is(err, pager.ErrNoUser), errors.Is(err, pager.ErrNoService):
		return &apiError{http.StatusNotFound, "not_found", err.Error()}
	case errors.Is(err, pager.ErrResolved):
		return &apiError{http.StatusConflict, "resolved", err.Error()}
	}
	return &apiError{http.StatusUnprocessableEntity, "refused", err.Error()}
}

func writeError(rw http.ResponseWriter, err error) {
	r := classify(err)
	writeJSON(rw, r.status, map[string]any{"error": map[string]string{"code": r.code, "message": r.message}})
}

func writeJSON(rw http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"encode response failed"}}`)
	}
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(status)
	_, _ = rw.Write(raw)
}

// get serves the result of fn as JSON.
func get(fn func(*http.Request) (any, error)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		out, err := fn(r)
		if err != nil {
			writeError(rw, err)
			return
		}
		writeJSON(rw, http.StatusOK, out)
	}
}

// post decodes the JSON body for fn and serves the result as JSON. Unknown fields
// are errors, to detect misspelt ones.
func post[T any](fn func(*http.Request, T) (any, error)) http.HandlerFunc {
	return get(func(r *http.Request) (any, error) {
		var in T
		d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, badRequest("the body must be a JSON object: " + err.Error())
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, badRequest("the body must contain only one JSON object")
		}
		return fn(r, in)
	})
}
