package web

import (
	"context"
	"net/http"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// saveDraft saves the long texts of a form while a person types. The script calls it.
func (s *Server) saveDraft(w http.ResponseWriter, r *http.Request, v visitor) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		return incident.Invalid("", "the draft has more than 1 MiB. Shorten it")
	}
	given, err := pressed(r)
	if err != nil {
		return err
	}
	in, err := s.submission(r, v, given.Verb)
	if err != nil {
		return err
	}
	if err := s.Desk().SaveDraft(r.Context(), v.identity(), command.FormKeyOf(in.given, in.view), in.draft(in.placed)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// draft returns the typed texts of the long fields.
func (in submission) draft(order string) incident.FormDraft {
	return incident.FormDraft{Order: order, Seen: in.given.Seen, Values: in.spec.Draft(in.changed)}
}

// keep saves the texts of a rejected submission as a draft.
func (s *Server) keep(r *http.Request, v visitor, in submission) {
	if !in.spec.KeepsDrafts() || in.given.For == 0 {
		return
	}
	err := s.Desk().SaveDraft(r.Context(), v.identity(), command.FormKeyOf(in.given, in.view), in.draft(in.placed+"~"))
	if err != nil && incident.CodeOf(err) == "" {
		s.Log.WarnContext(r.Context(), "save draft failed", "incident", in.given.For, "err", err)
	}
}

// closeForm deletes the draft of a submitted form and ends the editing.
func (s *Server) closeForm(ctx context.Context, v visitor, in submission) error {
	if !in.spec.KeepsDrafts() {
		return nil
	}
	if err := s.Desk().CloseForm(ctx, v.identity(), command.FormKeyOf(in.given, in.view), true); err != nil && incident.CodeOf(err) == "" {
		s.Log.WarnContext(ctx, "close form failed", "incident", in.given.For, "err", err)
	}
	return nil // the command is done
}
