package web

import (
	"net/http"
	"strconv"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// alertPage explains how an alert was routed.
func (s *Server) alertPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	id, err := incident.ParseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	alert, err := strconv.ParseInt(r.PathValue("alert"), 10, 64)
	if err != nil {
		return incident.Invalid("alert", "the address is malformed. Go back to the incident")
	}
	result, err := s.Desk().Alerts(r.Context(), v.identity(), incident.AlertRequest{Query: incident.QueryExplain, Alert: alert})
	if err != nil {
		return err
	}
	dir, err := s.Desk().Directory(r.Context())
	if err != nil {
		return err
	}
	return s.render(w, v, http.StatusOK, "incident_alert", "Alert A"+strconv.FormatInt(alert, 10), map[string]any{"ID": id, "Lines": templates.AlertResult(result, dir, s.Now())})
}

// postmortemPolicy is the Content-Security-Policy of a postmortem, which has its style inside.
const postmortemPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

// postmortemPage shows a postmortem.
func (s *Server) postmortemPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	id, err := incident.ParseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	revision, err := strconv.Atoi(r.PathValue("revision"))
	if err != nil {
		return incident.Invalid("revision", "the address is malformed. Go back to the incident")
	}
	doc, err := s.Desk().Document(r.Context(), v.identity(), id, revision, "opened the postmortem on the pages")
	if err != nil {
		return err
	}
	for _, file := range doc.Files {
		if file.MediaType != "text/html" {
			continue
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", postmortemPolicy)
		_, err := w.Write([]byte(file.Content))
		return err
	}
	return incident.Unknown("revision", "the postmortem of revision %d has no page. Export it with tocsin export", revision)
}
