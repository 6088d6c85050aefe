package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// signInParts are the parts of the server for the sign-in.
type signInParts struct {
	providers []*openID
	rejected  *rate.Limiter // refusals of strangers in the audit log
}

// maxRejected is how many refusals of strangers per minute are in the audit log. Others are
// only in the log.
const maxRejected = 30

func newSignInParts(c SignIn, site *url.URL) signInParts {
	return signInParts{providers: providers(c, site), rejected: rate.NewLimiter(rate.Every(time.Minute/maxRejected), maxRejected)}
}

// signInRoutes registers the pages of the sign-in.
func (s *Server) signInRoutes() {
	s.public("GET /sign-in", s.signInPage)
	s.public("GET /sign-in/with/{issuer}", s.beginSignInWith)
	s.public("GET "+CallbackPath, s.signInCallback)
	s.public("GET /sign-in/link", s.linkPage)
	s.public("POST /sign-in/link", s.redeemLink)
	s.public("POST /sign-out", s.signOut)
}

// The actions of the audit log.
const (
	actionSignIn     = "sign-in"
	actionSignOut    = "sign-out"
	actionEndSession = "session end"
)

// enter signs a person in. The session gets a new token, because another person may know the old one. The sign-in is in the audit
// log, and security gets a notice if no issuer vouches for the person.
func (s *Server) enter(ctx context.Context, person incident.PersonID, through string, secondFactor bool) error {
	who := visitor{Through: through, SecondFactor: secondFactor}
	who.ID = person
	if err := s.auditSignIn(ctx, who.identity(), who.auth(), true); err != nil {
		return err
	}
	if through == incident.ThroughPasskey || through == incident.ThroughHost {
		if err := s.notifyEntry(ctx, who); err != nil {
			return err
		}
	}
	if err := s.sessions.RenewToken(ctx); err != nil {
		return err
	}
	s.sessions.Put(ctx, valuePerson, string(person))
	s.sessions.Put(ctx, valueThrough, through)
	s.sessions.Put(ctx, valueCreated, s.Now().UTC().Format(time.RFC3339))
	s.sessions.Remove(ctx, valueFactors)
	if secondFactor {
		s.sessions.Put(ctx, valueFactors, "2")
	}
	return nil
}

// notifyEntry notifies security that a person signed in without an issuer.
func (s *Server) notifyEntry(ctx context.Context, who visitor) error {
	dir, err := s.Desk().Directory(ctx)
	if err != nil {
		return err
	}
	now := s.Now().UTC()
	return s.Desk().Notify(ctx, fmt.Sprintf("sign-in/%s/%s/%d", who.ID, who.Through, now.UnixNano()),
		map[string]string{"about": incident.AboutSignIn, "person": dir.Name(who.ID), "through": who.Through, "at": now.Format(time.RFC3339)})
}

// auditSignIn writes a sign-in to the audit log.
func (s *Server) auditSignIn(ctx context.Context, who incident.Identity, reason string, allowed bool) error {
	if from := requestOf(ctx).sender; from != "" {
		reason += ", from " + from
	}
	return s.Desk().AuditOperation(ctx, who, actionSignIn, reason, allowed)
}

// localPath returns the path to go to after the sign-in: the given one if it is on this website.
func localPath(then string) string {
	if !strings.HasPrefix(then, "/") || strings.HasPrefix(then, "//") || strings.ContainsAny(then, "\\\r\n\t") || len(then) > maxThen {
		return "/"
	}
	return then
}

// maxThen is the maximum length of the path after the sign-in. A cookie holds it.
const maxThen = 1000

// signInView is the input of the template of the sign-in.
type signInView struct {
	Then     string
	Issuers  []string
	Problem  string // of a sign-in that was refused, a sentence
	Detail   string // more about it
	Ask      string // whom to ask, or ""
	Retry    string // issuer of the refused sign-in, or ""
	SignedIn string // name of the person who is signed in already
}

func (s *Server) signInPage(w http.ResponseWriter, r *http.Request) error {
	if host, _, _ := strings.Cut(r.Host, ":"); host == "127.0.0.1" && s.site.Hostname() == "localhost" { // passkeys and cookies belong to the name
		http.Redirect(w, r, s.site.String()+r.URL.RequestURI(), http.StatusSeeOther) //nolint:gosec // to the site of the configuration
		return nil
	}
	v, err := s.visitor(r)
	if err != nil {
		return err
	}
	return s.showSignIn(w, http.StatusOK, signInView{Then: localPath(r.URL.Query().Get("then")), SignedIn: v.Name})
}

func (s *Server) showSignIn(w http.ResponseWriter, status int, view signInView) error {
	for _, one := range s.providers {
		view.Issuers = append(view.Issuers, one.Name)
	}
	title := "Sign in"
	if view.Problem != "" {
		title = "You are not signed in"
	}
	return s.render(w, visitor{}, status, "sign_in", title, view)
}

func (s *Server) beginSignInWith(w http.ResponseWriter, r *http.Request) error {
	name, then := r.PathValue("issuer"), localPath(r.URL.Query().Get("then"))
	p := s.provider(name)
	if p == nil {
		return incident.Unknown("issuer", "there is no issuer %s. Choose one on the page Sign in", text.Truncate(name, 40))
	}
	a, address, err := p.start(r.Context(), s.Now(), then)
	if err != nil {
		return s.rejectSignIn(w, r, name, then, incident.Identity{}, err)
	}
	if err := s.keepAttempt(w, a); err != nil {
		return err
	}
	http.Redirect(w, r, address, http.StatusSeeOther) //nolint:gosec // to the provider of the configuration
	return nil
}

// signInCallback completes a sign-in at a provider.
func (s *Server) signInCallback(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	a, err := s.takeAttempt(w, r)
	if err != nil {
		return s.rejectSignIn(w, r, "", "/", incident.Identity{}, err)
	}
	p := s.provider(a.Issuer)
	if p == nil {
		return s.rejectSignIn(w, r, "", a.Then, incident.Identity{}, reject("the issuer %s left the configuration", a.Issuer))
	}
	then := localPath(a.Then)
	c, err := p.finish(ctx, a, r.URL.Query(), s.Now())
	who := incident.Identity{}
	if c.Subject != "" {
		who = incident.Identity{Provider: incident.ProviderOIDC, ID: s.SignIn.Subject(p.Name, c.Subject)}
	}
	if err == nil {
		err = s.checkTrusted(ctx, p)
	}
	if err != nil {
		return s.rejectSignIn(w, r, p.Name, then, who, err)
	}
	dir, err := s.Desk().Directory(ctx)
	if err != nil {
		return err
	}
	person, known := dir.Resolve(who)
	if !known {
		return s.rejectStranger(w, r, p.Name, then, who, dir)
	}
	if err := s.enter(ctx, person.ID, p.Name, p.provesSecondFactor(c)); err != nil {
		return err
	}
	http.Redirect(w, r, then, http.StatusSeeOther)
	return nil
}

// checkTrusted rejects a sign-in through an issuer that is distrusted, or through the account system behind it.
func (s *Server) checkTrusted(ctx context.Context, p *openID) error {
	state, _, err := s.Desk().Trust(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{p.Name, p.Provider} {
		if distrusted, found := state.Provider(name); found && name != "" {
			return reject("%s is distrusted since %s, so accounts there do not sign in. Use your passkey", p.Name, distrusted.At.UTC().Format("2006-01-02 15:04 UTC"))
		}
	}
	return nil
}

// rejectSignIn writes the page of a sign-in that failed. A rejection is in the audit log.
func (s *Server) rejectSignIn(w http.ResponseWriter, r *http.Request, issuer, then string, who incident.Identity, err error) error {
	ctx := r.Context()
	view := signInView{Then: localPath(then), Retry: issuer}
	var broken *providerError
	var refused *rejection
	switch {
	case errors.As(err, &broken):
		s.Log.WarnContext(ctx, "sign-in at provider failed", "issuer", broken.issuer, "err", broken.err)
		view.Problem, view.Detail = text.Capital(issuer)+" does not answer at the moment.", "Try again in a minute, or use another way to sign in. Nothing is wrong with your account."
		w.Header().Set("Retry-After", "60")
		return s.showSignIn(w, http.StatusServiceUnavailable, view)
	case !errors.As(err, &refused):
		return err
	}
	view.Problem, view.Detail = text.Capital(refused.sentence)+".", "Sign in again. If it happens again, ask an administrator: the audit log has the cause."
	if err := s.auditRejection(ctx, issuer, who, refused); err != nil {
		return err
	}
	return s.showSignIn(w, http.StatusForbidden, view)
}

// auditRejection writes a rejection to the audit log. Those of strangers are limited, because they cost the database work.
func (s *Server) auditRejection(ctx context.Context, issuer string, who incident.Identity, refused *rejection) error {
	reason := refused.sentence
	if issuer != "" {
		reason = "through " + issuer + ": " + reason
	}
	if refused.cause != nil {
		reason += " (" + text.Truncate(refused.cause.Error(), 300) + ")"
	}
	s.Log.InfoContext(ctx, "sign-in refused", "issuer", issuer, "reason", reason)
	if who.ID == "" && !s.rejected.AllowN(s.Now(), 1) {
		return nil
	}
	return s.auditSignIn(ctx, who, reason, false)
}

// rejectStranger writes the page for a person who is not in the configuration.
func (s *Server) rejectStranger(w http.ResponseWriter, r *http.Request, issuer, then string, who incident.Identity, dir incident.Directory) error {
	if err := s.auditRejection(r.Context(), issuer, who, reject("the subject %s belongs to no person", who.ID)); err != nil {
		return err
	}
	return s.showSignIn(w, http.StatusForbidden, signInView{Then: then, Problem: text.Capital(issuer) + " knows you, but Tocsin does not.",
		Detail: "Your account there is the subject " + who.ID + ". An administrator can write it as oidc of your entry under people.", Ask: whomToAsk(dir)})
}

// whomToAsk returns the names of people of security: its head first.
func whomToAsk(dir incident.Directory) string {
	team, _ := dir.Team(incident.Security)
	var names []string
	if team.Head != "" {
		names = append(names, dir.Name(team.Head))
	}
	for _, m := range team.Members {
		if name := dir.Name(m.Person); !m.Deputy && !slices.Contains(names, name) && len(names) < maxNamed {
			names = append(names, name)
		}
	}
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0] + " of security"
	default:
		return strings.Join(names[:n-1], ", ") + " or " + names[n-1] + " of security"
	}
}

// maxNamed is how many people a page names.
const maxNamed = 3

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	v, err := s.visitor(r)
	if err != nil {
		return err
	}
	if v.ID != "" {
		if err := s.Desk().AuditOperation(r.Context(), v.identity(), actionSignOut, v.auth(), true); err != nil {
			return err
		}
	}
	if err := s.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	return nil
}
