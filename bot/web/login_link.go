package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/bot/web/session"
)

// LinkTTL is how long a login link works.
const LinkTTL = 10 * time.Minute

// linkHash returns the hash under which a login link is stored.
func linkHash(code string) string {
	sum := sha256.Sum256([]byte("tocsin login link " + code))
	return session.ThroughLink + ":" + hex.EncodeToString(sum[:])
}

// NewLoginLink returns a login link for a person on the website with an address. The code is
// in the fragment, which browsers do not send: scanners of mail and logs do not use it up.
func NewLoginLink(ctx context.Context, sessions session.Store, site string, person incident.PersonID, now time.Time) (string, error) {
	u, err := url.Parse(site)
	if err != nil || u.Hostname() == "" {
		return "", incident.Conflict("there are no pages. Set public_url and reload Tocsin")
	}
	code := rand.Text()
	err = sessions.PutSession(ctx, session.Session{TokenHash: linkHash(code), Person: person, Through: session.ThroughLink, CreatedAt: now, UsedAt: now, ExpiresAt: now.Add(LinkTTL), Body: []byte("{}")})
	if err != nil {
		return "", err
	}
	return u.JoinPath("/sign-in/link").String() + "#" + code, nil
}

func (s *Server) linkPage(w http.ResponseWriter, _ *http.Request) error {
	return s.render(w, visitor{}, http.StatusOK, "sign_in_link", "Sign in with a login link", signInView{})
}

// redeemLink signs the person of a login link in. A link works once.
func (s *Server) redeemLink(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	code := r.PostFormValue("code")
	if _, after, found := strings.Cut(code, "#"); found { // the whole link was pasted
		code = after
	}
	link, found, err := s.Sessions.FindSession(ctx, linkHash(strings.TrimSpace(code)))
	if err != nil {
		return err
	}
	if !found {
		return s.rejectLink(w, r, incident.Identity{}, reject("the login link is unknown, was used or is older than %d minutes", int(LinkTTL.Minutes())))
	}
	who := visitor{Person: incident.Person{ID: link.Person}}
	dir, err := s.Desk().Directory(ctx)
	if err != nil {
		return err
	}
	ended, err := s.Sessions.EndSessions(ctx, session.Filter{ID: link.ID, Person: link.Person})
	if err != nil {
		return err
	}
	if _, known := dir.Person(link.Person); !known || ended != 1 {
		return s.rejectLink(w, r, who.identity(), reject("the login link was used already, or its person left the configuration"))
	}
	if err := s.enter(ctx, link.Person, incident.ThroughHost, false); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// rejectLink writes the page of a login link that does not work.
func (s *Server) rejectLink(w http.ResponseWriter, r *http.Request, who incident.Identity, refused *rejection) error {
	if err := s.auditRejection(r.Context(), "", who, refused); err != nil {
		return err
	}
	return s.render(w, visitor{}, http.StatusForbidden, "sign_in_link", "You are not signed in", signInView{Problem: text.Capital(refused.sentence) + ".", Detail: "Ask an administrator for another link."})
}
