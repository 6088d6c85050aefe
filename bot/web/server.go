package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alexedwards/scs/v2"

	"tocsin/bot/incident"
	"tocsin/bot/web/session"
)

// Desk has the methods of the write path that the pages use.
type Desk interface {
	Do(ctx context.Context, cmd incident.Command) (incident.Result, error)
	Show(ctx context.Context, who incident.Identity, id incident.ID, reason string) (incident.View, error)
	List(ctx context.Context, who incident.Identity, f incident.Filter) ([]incident.Summary, error)
	Directory(ctx context.Context) (incident.Directory, error)
	formsDesk
	signingDesk
	PasskeyDesk
	SignInDesk
	packDesk
}

// SignInDesk has the methods of the write path for the sign-in.
type SignInDesk interface {
	// AuditOperation writes a sign-in, or its refusal, to the audit log.
	AuditOperation(ctx context.Context, who incident.Identity, action, reason string, allowed bool) error
	// Notify notifies security.
	Notify(ctx context.Context, key string, args map[string]string) error
}

// Deps are the parts of the program that the pages use.
type Deps struct {
	Desk     func() Desk // of the current configuration
	Sessions session.Store
	// Checkpoint returns the newest checkpoint of the notary log, or "". It may be nil.
	Checkpoint func(context.Context) (string, error)
	SignIn     SignIn
	Sender     func(*http.Request) string // address of a client, behind trusted proxies too
	Stopping   <-chan struct{}            // closed when the program stops. Streams then end
	Now        func() time.Time
	Log        *slog.Logger
}

// Server serves the pages for people who signed in.
type Server struct {
	Deps
	site     *url.URL
	sessions *scs.SessionManager
	mux      *http.ServeMux
	passkeyParts
	handler http.Handler // mux with everything around it
	signInParts
	// listeners is the number of pages that wait for changes.
	listeners atomic.Int64
}

// New returns the pages of the website with an address, such as https://tocsin.example.com.
func New(site string, d Deps) (*Server, error) {
	u, err := url.Parse(strings.TrimSuffix(site, "/"))
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("public_url is missing or malformed. Write the address of the pages, such as https://tocsin.example.com")
	}
	d.Log = d.Log.With("component", "web")
	s := &Server{Deps: d, site: u, sessions: newSessions(d.Sessions, u.Scheme == "https", d.Now, d.Log), mux: http.NewServeMux()}
	s.signInParts = newSignInParts(d.SignIn, u)
	guard := http.NewCrossOriginProtection()
	if err := guard.AddTrustedOrigin(s.RelyingParty().Origin); err != nil {
		return nil, fmt.Errorf("public_url: %w", err)
	}
	guard.SetDenyHandler(http.HandlerFunc(s.denyForeign))
	s.handler = guard.Handler(s.sessions.LoadAndSave(s.mux))
	s.routes()
	return s, nil
}

// routes registers the pages.
func (s *Server) routes() {
	s.mux.Handle("GET /{$}", http.RedirectHandler("/incidents", http.StatusSeeOther))
	s.public("/", func(http.ResponseWriter, *http.Request) error {
		return incident.Unknown("", "no page has this address. Check it, or start at the list of incidents")
	})
	s.signInRoutes()
	s.accountRoutes()
	s.formRoutes()
	s.signRoutes()
	s.incidentRoutes()
	s.passkeyRoutes()
	s.packRoutes()
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header(), s.https())
	if strings.HasPrefix(r.URL.Path, "/static/") { // needs no session
		staticHandler.ServeHTTP(w, r)
		return
	}
	about := &request{isPassive: strings.Contains(r.Header.Get("Accept"), "text/event-stream")}
	if s.Sender != nil {
		about.sender = s.Sender(r)
	}
	s.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, about)))
}

// staticHandler serves the style sheets and scripts.
var staticHandler = http.FileServerFS(staticFiles)

// https reports whether people reach the pages by HTTPS.
func (s *Server) https() bool { return s.site.Scheme == "https" }

// denyForeign answers a request that another website made.
func (s *Server) denyForeign(w http.ResponseWriter, r *http.Request) {
	s.problem(w, r, visitor{}, incident.Forbidden("another website sent this request. Open the page here and try again"))
}

// MaxBody is the maximum size of the body of a request, in bytes.
const MaxBody = 1 << 20

// RelyingParty returns the website that passkeys belong to.
func (s *Server) RelyingParty() incident.RelyingParty { return RelyingParty(s.site.String()) }

// RelyingParty returns the website with an address that passkeys belong to, or the zero
// value without an address.
func RelyingParty(site string) incident.RelyingParty {
	u, err := url.Parse(site)
	if err != nil || u.Hostname() == "" {
		return incident.RelyingParty{}
	}
	host := strings.TrimSuffix(u.Host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme]) // browsers leave a default port out
	return incident.RelyingParty{ID: u.Hostname(), Origin: u.Scheme + "://" + host}
}

// secure sets the headers of every answer.
func secure(h http.Header, https bool) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "publickey-credentials-get=(self), publickey-credentials-create=(self)")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cache-Control", "no-store")
	if https {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// visitor is the person behind a request.
type visitor struct {
	incident.Person
	Through      string // see [incident.Command.Through]
	SecondFactor bool
}

// identity returns the identity of the author of commands.
func (v visitor) identity() incident.Identity {
	return incident.Identity{Provider: incident.ProviderWeb, ID: string(v.ID)}
}

// command fills in who gives a command, and how the person was recognised.
func (v visitor) command(c incident.Command) incident.Command {
	c.By, c.Via, c.Through, c.SecondFactor = v.identity(), incident.ViaWeb, v.Through, v.SecondFactor
	c.Auth = v.auth()
	return c
}

// auth describes how the person was recognised, for the event.
func (v visitor) auth() string {
	switch {
	case v.Through == incident.ThroughPasskey:
		return "passkey without an identity provider"
	case v.Through == incident.ThroughHost:
		return "login link from the host, without a second factor"
	case v.SecondFactor:
		return "session through " + v.Through + " with a second factor"
	}
	return "session through " + v.Through
}

// public registers a page that needs no sign-in. An error becomes a page.
func (s *Server) public(pattern string, f func(http.ResponseWriter, *http.Request) error) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			s.problem(w, r, visitor{}, err)
		}
	})
}

// private registers a page for people who signed in. Others are sent to the sign-in.
func (s *Server) private(pattern string, f func(http.ResponseWriter, *http.Request, visitor) error) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v, err := s.visitor(r)
		if err == nil && v.ID == "" {
			http.Redirect(w, r, "/sign-in?then="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		if err == nil {
			err = f(w, r, v)
		}
		if err != nil {
			s.problem(w, r, v, err)
		}
	})
}

// visitor returns the person who signed in with the session of a request, or the zero visitor. The session ends if the person left
// the configuration.
func (s *Server) visitor(r *http.Request) (visitor, error) {
	ctx := r.Context()
	id := incident.PersonID(s.sessions.GetString(ctx, valuePerson))
	if id == "" {
		return visitor{}, nil
	}
	dir, err := s.Desk().Directory(ctx)
	if err != nil {
		return visitor{}, err
	}
	person, known := dir.Person(id)
	v := visitor{Person: person, Through: s.sessions.GetString(ctx, valueThrough), SecondFactor: s.sessions.GetString(ctx, valueFactors) == "2"}
	if !known {
		return visitor{}, s.sessions.Destroy(ctx)
	}
	return v, nil
}
