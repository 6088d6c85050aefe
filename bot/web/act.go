package web

import (
	"cmp"
	"context"
	"net/http"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/templates"
)

// act gives a command of a person who signed in and answers the request with a redirect to
// then, with the result as a message. An empty then means the page of the incident. If the act
// needs a signature, the redirect leads to the page that takes it. After an error act has
// written nothing: the caller shows the error next to the typed values.
func (s *Server) act(w http.ResponseWriter, r *http.Request, v visitor, cmd incident.Command, then string) error {
	if needs, err := s.needsProof(r.Context(), v, cmd); err != nil {
		return err
	} else if needs {
		return s.confirm(w, r, cmd, then)
	}
	cmd = v.command(cmd)
	result, err := s.Desk().Do(r.Context(), cmd)
	if err != nil {
		return err
	}
	s.done(w, r, cmd, result, then)
	return nil
}

// done redirects to the page after a command and shows the result there.
func (s *Server) done(w http.ResponseWriter, r *http.Request, cmd incident.Command, result incident.Result, then string) {
	http.Redirect(w, r, s.outcome(r.Context(), cmd, result, then), http.StatusSeeOther)
}

// outcome returns the path of the page after a command, which shows the result.
func (s *Server) outcome(ctx context.Context, cmd incident.Command, result incident.Result, then string) string {
	sentence, _ := command.ResultOf(cmd, result)
	s.notify(ctx, templates.Text(sentence, result.Directory)+".")
	id := cmp.Or(result.Incident.ID, cmd.For)
	if result.Requested || result.Reported || id == 0 {
		then = cmp.Or(then, "/")
	}
	return localPath(cmp.Or(then, incidentPath(id)))
}

// valueNotice is the value of a session with the message that the next page shows once.
const valueNotice = "notice"

// notify shows a message on the next page of the session.
func (s *Server) notify(ctx context.Context, message string) {
	s.sessions.Put(ctx, valueNotice, message)
}

// notice returns the message of [Server.notify] and forgets it.
func (s *Server) notice(ctx context.Context) string { return s.sessions.PopString(ctx, valueNotice) }

// incidentPath returns the path of the page of an incident.
func incidentPath(id incident.ID) string { return "/incidents/" + id.String() }
