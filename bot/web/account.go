package web

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/web/session"
)

// accountRoutes registers the page about the visitor.
func (s *Server) accountRoutes() {
	s.private("GET /account", s.accountPage)
	s.private("POST /account/sessions/end", s.endSessions)
}

// accountView is the input of the template of the account.
type accountView struct {
	Departments []string
	Identities  []incident.Identity
	Auth        string // how the person was recognised
	IsHost      bool   // by a login link
	Sessions    []sessionView
	Ended       int // number of sessions that just ended, -1 for none
}

// sessionView is a session in the template.
type sessionView struct {
	ID           int64
	Through      string
	SecondFactor bool
	Created      time.Time
	Used         time.Time
	Expires      time.Time
	IsThis       bool
}

// sessionsOf returns the sessions of a person, without login links.
func (s *Server) sessionsOf(r *http.Request, person incident.PersonID) ([]sessionView, error) {
	list, err := s.Sessions.Sessions(r.Context(), session.Filter{Person: person})
	if err != nil {
		return nil, err
	}
	this := requestOf(r.Context()).found.ID
	var out []sessionView
	for _, one := range list {
		if one.Through != session.ThroughLink {
			out = append(out, sessionView{one.ID, one.Through, one.SecondFactor, one.CreatedAt, one.UsedAt, one.ExpiresAt, one.ID == this})
		}
	}
	return out, nil
}

func (s *Server) accountPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	view := accountView{Auth: v.auth(), IsHost: v.Through == incident.ThroughHost, Identities: v.Identities, Ended: -1}
	if n, err := strconv.Atoi(r.URL.Query().Get("ended")); err == nil && n >= 0 {
		view.Ended = n
	}
	dir, err := s.Desk().Directory(r.Context())
	if err != nil {
		return err
	}
	for _, team := range dir.Teams {
		if slices.ContainsFunc(team.Members, func(m incident.Membership) bool { return m.Person == v.ID }) {
			view.Departments = append(view.Departments, string(team.Name))
		}
	}
	if view.Sessions, err = s.sessionsOf(r, v.ID); err != nil {
		return err
	}
	return s.render(w, v, http.StatusOK, "account", v.Name, view)
}

// endSessions ends one session of the visitor, or all others.
func (s *Server) endSessions(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx, id := r.Context(), r.PostFormValue("session")
	list, err := s.sessionsOf(r, v.ID)
	if err != nil {
		return err
	}
	ended, mine := 0, false
	for _, one := range list {
		if id != strconv.FormatInt(one.ID, 10) && (id != "others" || one.IsThis) {
			continue
		}
		n, err := s.Sessions.EndSessions(ctx, session.Filter{ID: one.ID, Person: v.ID})
		if err != nil {
			return err
		}
		ended, mine = ended+n, mine || one.IsThis
	}
	if err := s.Desk().AuditOperation(ctx, v.identity(), actionEndSession, strconv.Itoa(ended)+" of their own", true); err != nil {
		return err
	}
	if mine {
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
		return nil
	}
	http.Redirect(w, r, "/account?ended="+strconv.Itoa(ended), http.StatusSeeOther)
	return nil
}
