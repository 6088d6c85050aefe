package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
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
	PasskeyDesk
}

// Deps are the parts of the program that the pages use.
type Deps struct {
	Desk     func() Desk // of the current configuration
	Sessions session.Store
	SignIn   SignIn
	Sender   func(*http.Request) string // address of a client, behind trusted proxies too
	Stopping <-chan struct{}            // closed when the program stops. Streams then end
	Now      func() time.Time
	Log      *slog.Logger
}

// Server serves the pages for people who signed in.
type Server struct {
	Deps
	site     *url.URL
	sessions *scs.SessionManager
	mux      *http.ServeMux
	passkeyParts
}

// New returns the pages of the website with an address, such as https://tocsin.example.com.
func New(site string, d Deps) (*Server, error) {
	u, err := url.Parse(strings.TrimSuffix(site, "/"))
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("public_url is missing or malformed. Write the address of the pages, such as https://tocsin.example.com")
	}
	d.Log = d.Log.With("component", "web")
	s := &Server{Deps: d, site: u, sessions: newSessions(d.Sessions, u.Scheme == "https", d.Now), mux: http.NewServeMux()}
	s.mux.Handle("GET /static/", http.FileServerFS(staticFiles))
	s.routes()
	return s, nil
}

// routes registers the pages.
func (s *Server) routes() {
	s.mux.Handle("GET /{$}", http.RedirectHandler("/incidents", http.StatusSeeOther))
	s.public("/", func(http.ResponseWriter, *http.Request) error {
		return incident.Unknown("", "no page has this address. Check it, or start at the list of incidents")
	})
	s.public("GET /sign-in", s.signInPage)
	s.public("POST /sign-out", s.signOut)
	s.formRoutes()
	s.incidentRoutes()
	s.passkeyRoutes()
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header(), s.site.Scheme == "https")
	http.NewCrossOriginProtection().Handler(s.sessions.LoadAndSave(s.mux)).ServeHTTP(w, r)
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
	return incident.RelyingParty{ID: u.Hostname(), Origin: u.Scheme + "://" + u.Host}
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
	c.Auth = "session through " + v.Through
	if v.SecondFactor {
		c.Auth += " with a second factor"
	}
	return c
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

// visitor returns the person who signed in with the session of a request, or the zero visitor. The session of a person who left the
// configuration ends.
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
	if !known {
		return visitor{}, s.sessions.Destroy(ctx)
	}
	return visitor{Person: person, Through: s.sessions.GetString(ctx, valueThrough), SecondFactor: s.sessions.GetString(ctx, valueFactors) == "2"}, nil
}

// enter signs a person in. The session gets a new token, because another person may know the old one.
func (s *Server) enter(ctx context.Context, person incident.PersonID, through string, secondFactor bool) error {
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

// localPath returns the path to go to after the sign-in: the given one if it is on this website.
func localPath(then string) string {
	if !strings.HasPrefix(then, "/") || strings.HasPrefix(then, "//") || strings.ContainsAny(then, "\\\r\n\t") {
		return "/"
	}
	return then
}

func (s *Server) signInPage(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, visitor{}, http.StatusOK, "sign_in", "Sign in", map[string]any{"Then": localPath(r.URL.Query().Get("then"))})
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := s.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	return nil
}
