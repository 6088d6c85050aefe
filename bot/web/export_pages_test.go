package web

import (
	"net/http"

	"tocsin/bot/incident"
)

// AllowEntry registers a path that signs a person in, for tests that are not about the sign-in.
func (s *Server) AllowEntry() {
	s.public("POST /test/enter", func(w http.ResponseWriter, r *http.Request) error {
		if err := s.enter(r.Context(), incident.PersonID(r.FormValue("person")), "test", true); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}
