package slack

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"time"

	"tocsin/bot/incident"
)

// MaxBody is the maximum size of a request body, in bytes. The caller of
// [Slack.Handler] bounds the bodies of all requests together.
const MaxBody = 1 << 20

// Handler serves the three request URLs of the Slack app: /slack/commands,
// /slack/interactions and /slack/events.
func (s *Slack) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /slack/commands", s.requireSignature(s.serveCommand))
	mux.HandleFunc("POST /slack/interactions", s.requireSignature(s.serveInteraction))
	mux.HandleFunc("POST /slack/events", s.requireSignature(s.serveEvent))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.reject(w, http.StatusNotFound, "unknown", "unknown path: Slack posts to /slack/commands, /slack/interactions and /slack/events")
	})
	return mux
}

// Inbound returns Handler and the maximum size of a request body, or nil in
// Socket Mode alone.
func (s *Slack) Inbound() (handler http.Handler, maxBody int64) {
	if s.cfg.SigningSecret.IsZero() {
		return nil, 0
	}
	return s.Handler(), MaxBody
}

// requireSignature reads the body and calls next if the signature of Slack is
// valid. Rejected requests are counted and not stored.
func (s *Slack) requireSignature(next func(http.ResponseWriter, *http.Request, []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		buf := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), MaxBody)+bytes.MinRead))
		_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
		body := buf.Bytes()
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			s.reject(w, http.StatusRequestEntityTooLarge, "too_large", "the request is larger than 1 MiB")
			return
		case err != nil:
			s.reject(w, http.StatusBadRequest, "unreadable", "the request body is incomplete")
			return
		}
		if err := verify(r.Header, body, s.cfg.SigningSecret, s.cfg.Clock()); err != nil {
			s.refuse(w, r, err)
			return
		}
		s.signatures.accept()
		if s.cfg.OnVerified != nil {
			s.cfg.OnVerified(r)
		}
		next(w, r, body)
	}
}

// rejectionLogInterval is the minimum time between two log records about rejected
// requests, because strangers can send many. The metric counts all of them.
const rejectionLogInterval = 10 * time.Second

// refuse rejects a request that Slack did not sign.
func (s *Slack) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, errUnsigned) {
		s.signatures.reject(s.cfg.Clock())
	}
	s.rejections.Do(func() {
		s.log.WarnContext(r.Context(), "request rejected", "path", r.URL.Path, "err", err)
	})
	s.reject(w, http.StatusUnauthorized, "unauthorized", err.Error())
}

// reject writes an error as JSON and reports it to Config.OnRejected.
func (s *Slack) reject(w http.ResponseWriter, status int, code, message string) {
	type apiError struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if s.cfg.OnRejected != nil {
		s.cfg.OnRejected(status)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]apiError{"error": {code, message}}) // fails only if the sender disconnected
}

// formBody parses a form-encoded body. For other content it writes an error
// and returns false.
func (s *Slack) formBody(w http.ResponseWriter, r *http.Request, body []byte) (url.Values, bool) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && kind == "application/x-www-form-urlencoded" {
		if values, err := url.ParseQuery(string(body)); err == nil {
			return values, true
		}
	}
	s.reject(w, http.StatusBadRequest, "not_a_form", "expected application/x-www-form-urlencoded")
	return nil, false
}

func (s *Slack) serveCommand(w http.ResponseWriter, r *http.Request, body []byte) {
	values, ok := s.formBody(w, r, body)
	if !ok || values.Get("ssl_check") == "1" {
		return // a certificate probe expects 200 without a body
	}
	writeReply(w, s.handleCommand(r.Context(), decodeForm(values)))
}

func (s *Slack) serveInteraction(w http.ResponseWriter, r *http.Request, body []byte) {
	values, ok := s.formBody(w, r, body)
	if !ok {
		return
	}
	payload := []byte(values.Get("payload"))
	in, err := decodeInteraction(payload)
	if answer := unreadableForm(payload); err != nil && answer != nil {
		writeReply(w, answer)
		return
	}
	if err != nil {
		s.reject(w, http.StatusBadRequest, "not_json", errMalformed.Error())
		return
	}
	writeReply(w, s.handleInteraction(r.Context(), in))
}

func (s *Slack) serveEvent(w http.ResponseWriter, r *http.Request, body []byte) {
	var e eventPayload
	if err := json.Unmarshal(body, &e); err != nil {
		s.reject(w, http.StatusBadRequest, "not_json", "expected a JSON object of the Events API")
		return
	}
	if e.Type == "url_verification" {
		writeReply(w, map[string]string{"challenge": e.Challenge})
		return
	}
	s.handleEvent(e)
}

// writeReply writes answer as JSON. If answer is nil, the response is 200
// without a body.
func writeReply(w http.ResponseWriter, answer any) {
	if answer == nil {
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(answer) // fails only if Slack disconnected and already shows an error
}

// authentication is the authentication method in commands from Slack.
const authentication = "slack"

// commandBy sets the key and the author of a command from Slack.
func (s *Slack) commandBy(a account, key string, cmd incident.Command) incident.Command {
	cmd.Key, cmd.By, cmd.Auth, cmd.Via = key, s.identityOf(a), authentication, incident.ViaSlack
	if cmd.Verb == incident.VerbOpen {
		cmd.Reporter = &incident.Reporter{User: a.user, Team: a.team, Name: a.name}
	}
	return cmd
}
