package slack

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"

	"tocsin/bot/incident"
)

// maxBody is the largest request that is read.
const maxBody = 1 << 20

// Handler serves the three request URLs of the Slack app: /slack/commands,
// /slack/interactions and /slack/events.
func (s *Slack) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /slack/commands", s.requireSignature(s.serveCommand))
	mux.HandleFunc("POST /slack/interactions", s.requireSignature(s.serveInteraction))
	mux.HandleFunc("POST /slack/events", s.requireSignature(s.serveEvent))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.reject(w, http.StatusNotFound, "unknown", "Slack posts to /slack/commands, /slack/interactions and /slack/events")
	})
	return mux
}

// requireSignature reads the body as it came and lets it in only if Slack signed it.
// What is turned away leaves no trace but a count.
func (s *Slack) requireSignature(next func(http.ResponseWriter, *http.Request, []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			s.reject(w, http.StatusRequestEntityTooLarge, "too_large", "a request has at most 1 MiB")
			return
		case err != nil:
			s.reject(w, http.StatusBadRequest, "unreadable", "the body could not be read to its end")
			return
		}
		if err := verify(r.Header, body, s.cfg.SigningSecret, s.cfg.Clock()); err != nil {
			s.log.WarnContext(r.Context(), "turned a request away", "path", r.URL.Path, "reason", err)
			s.reject(w, http.StatusUnauthorized, "unauthorized", err.Error())
			return
		}
		next(w, r, body)
	}
}

// reject answers what Slack, or whoever pretends to be it, did wrong.
func (s *Slack) reject(w http.ResponseWriter, status int, code, message string) {
	type fault struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if s.cfg.OnRejected != nil {
		s.cfg.OnRejected(status)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]fault{"error": {code, message}}) // the sender went away; nobody is left to tell
}

// formBody reads a form-encoded body, and refuses any other.
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
		return // a probe of the certificate wants a 200 and nothing else
	}
	writeReply(w, s.handleCommand(r.Context(), decodeForm(values)))
}

func (s *Slack) serveInteraction(w http.ResponseWriter, r *http.Request, body []byte) {
	values, ok := s.formBody(w, r, body)
	if !ok {
		return
	}
	in, err := decodeInteraction([]byte(values.Get("payload")))
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

// writeReply writes an answer as JSON; nil is a 200 without a body.
func writeReply(w http.ResponseWriter, answer any) {
	if answer == nil {
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(answer) // Slack went away; it will say so to the person itself
}

// authentication is how people who come through this door were authenticated.
const authentication = "slack"

// commandBy fills in who says a command, and through which door.
func commandBy(user, key string, cmd incident.Command) incident.Command {
	cmd.Key, cmd.By, cmd.Auth, cmd.Via = key, identity(user), authentication, incident.ViaSlack
	return cmd
}
