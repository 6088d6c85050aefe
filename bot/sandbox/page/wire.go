package page

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/pager"
)

// refusal is an error with the status and the code it has on the wire.
type refusal struct {
	status        int
	code, message string
}

func (r *refusal) Error() string { return r.message }

func notFound(what string) error { return &refusal{http.StatusNotFound, "not_found", what} }

func malformed(why string) error { return &refusal{http.StatusBadRequest, "bad_request", why} }

// bodyLimit is of a request: an upload of some MB, in base64.
const bodyLimit = 32 << 20

// classify finds status and code of an error. What is not known otherwise is
// something that the client would not let a person do.
func classify(err error) *refusal {
	var r *refusal
	var client *chat.ClientError
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &client):
		return &refusal{http.StatusBadGateway, client.Code, client.Text}
	case errors.Is(err, chat.ErrOffline):
		return &refusal{http.StatusServiceUnavailable, "offline", err.Error()}
	case errors.Is(err, pager.ErrNoIncident), errors.Is(err, pager.ErrNoUser), errors.Is(err, pager.ErrNoService):
		return &refusal{http.StatusNotFound, "not_found", err.Error()}
	case errors.Is(err, pager.ErrResolved):
		return &refusal{http.StatusConflict, "resolved", err.Error()}
	}
	return &refusal{http.StatusUnprocessableEntity, "refused", err.Error()}
}

func fail(rw http.ResponseWriter, err error) {
	r := classify(err)
	answer(rw, r.status, map[string]any{"error": map[string]string{"code": r.code, "message": r.message}})
}

func answer(rw http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the answer cannot be written as JSON"}}`)
	}
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(status)
	_, _ = rw.Write(raw)
}

// get serves what fn returns as JSON.
func get(fn func(*http.Request) (any, error)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		out, err := fn(r)
		if err != nil {
			fail(rw, err)
			return
		}
		answer(rw, http.StatusOK, out)
	}
}

// post decodes the body for fn and serves what it returns as JSON. A field
// that is not known is an error, because it is a misspelt one.
func post[T any](fn func(*http.Request, T) (any, error)) http.HandlerFunc {
	return get(func(r *http.Request) (any, error) {
		var in T
		d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, bodyLimit))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, malformed("a JSON object was expected: " + err.Error())
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, malformed("one JSON object was expected")
		}
		return fn(r, in)
	})
}
