package web

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// The limits of live pages. A page that gets no place still works, and changes when it is
// loaded again.
const (
	liveInterval = 3 * time.Second
	liveTime     = 10 * time.Minute // the browser connects again after it
	maxLive      = 200
)

// live tells a page when its incident changes, by server-sent events. It reads only the head
// of the incident, because another replica can write the change.
func (s *Server) live(w http.ResponseWriter, r *http.Request, v visitor) error {
	id, err := incident.ParseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	head, err := strconv.Atoi(r.URL.Query().Get("head"))
	if err != nil {
		return incident.Invalid("head", "the address is malformed. Load the page again")
	}
	seq, err := s.Desk().Head(r.Context(), v.identity(), id)
	if err != nil {
		return err
	}
	if s.listeners.Add(1) > maxLive {
		s.listeners.Add(-1)
		return incident.Conflict("too many pages are live. Load the page again to see changes")
	}
	defer s.listeners.Add(-1)
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Time{}) // the server's limit is for pages
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	poll, end := time.NewTicker(liveInterval), time.NewTimer(liveTime)
	defer poll.Stop()
	defer end.Stop()
	for {
		if seq != head {
			head = seq
			_, err = fmt.Fprintf(w, "id: %d\nevent: changed\ndata: %d\n\n", seq, seq) //nolint:gosec // a number
		} else {
			_, err = fmt.Fprint(w, ": no change\n\n")
		}
		if err != nil || out.Flush() != nil {
			return nil // the browser left
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-end.C:
			return nil
		case <-s.Stopping:
			return nil
		case <-poll.C:
		}
		if token := requestOf(r.Context()).found.TokenHash; token != "" {
			if _, found, err := s.Sessions.FindSession(r.Context(), token); err != nil || !found {
				return nil // the session ended
			}
		}
		if seq, err = s.Desk().Head(r.Context(), v.identity(), id); err != nil {
			return nil // the person may not read the incident any more, or the database is away: the browser connects again
		}
	}
}
