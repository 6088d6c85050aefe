package web_test

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/bot/web"
	"tocsin/store"
	"tocsin/store/storetest"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// people are the people of the tests: two engineers, two of security, one each of legal and
// communications, and a person without a department.
var people = incident.Directory{
	People: []incident.Person{
		{ID: "ada", Name: "Ada Lindqvist", Responder: true}, {ID: "ben", Name: "Ben Okafor", Responder: true}, {ID: "cleo", Name: "Cleo Marchetti"},
		{ID: "dan", Name: "Dan Whitfield"}, {ID: "eve", Name: "Eve Tanaka", Responder: true}, {ID: "finn", Name: "Finn O’Brien", Responder: true}, {ID: "gil", Name: "Gil Novak"},
	},
	Teams: []incident.Team{
		{Name: incident.Engineering, Head: "ada", Members: []incident.Membership{{Person: "ada"}, {Person: "eve"}}},
		{Name: incident.Security, Head: "ben", Members: []incident.Membership{{Person: "ben"}, {Person: "finn"}}},
		{Name: incident.Legal, Head: "cleo", Members: []incident.Membership{{Person: "cleo"}}},
		{Name: incident.Communications, Head: "dan", Members: []incident.Membership{{Person: "dan"}}},
	},
}

// site is the website over a desk and a store.
type site struct {
	t     testing.TB
	desk  *response.Desk
	store *store.Store
	url   string
	mu    sync.Mutex
	now   time.Time
	keys  int
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// wait moves the clock.
func (s *site) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// newSite serves the pages at localhost.
func newSite(t testing.TB, database string) *site {
	t.Helper()
	s := &site{t: t, now: noon}
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	db, err := store.Open(context.Background(), store.Config{URL: cmp.Or(database, storetest.SQLite(t))}, store.Deps{Keyset: keys, Logger: quiet, Clock: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s.store = db
	s.desk, err = response.New(response.Options{Store: db, Redact: redact.New(redact.Options{}), Now: s.clock, Policy: incident.Policy{SubmitterMaySign: false},
		RenderPostmortem: func(response.Postmortem) (incident.Document, error) { return incident.Document{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.desk.PutDirectory(t.Context(), people); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	s.url = "http://localhost:" + port
	pages, err := web.New(s.url, web.Deps{Desk: func() web.Desk { return s.desk }, Sessions: db, Now: s.clock, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	pages.AllowEntry()
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: pages, WriteTimeout: 10 * time.Second, ReadHeaderTimeout: 10 * time.Second}}
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return s
}

// do gives a command as a person, through the desk.
func (s *site) do(who incident.PersonID, cmd incident.Command) incident.Incident {
	s.t.Helper()
	s.keys++
	cmd.Key, cmd.By, cmd.Via = fmt.Sprint("test ", s.keys), incident.Identity{Provider: incident.ProviderWeb, ID: string(who)}, incident.ViaWeb
	result, err := s.desk.Do(context.Background(), cmd)
	if err != nil {
		s.t.Fatalf("%s by %s: %v", cmd.Verb, who, err)
	}
	return result.Incident
}

// open opens an incident.
func (s *site) open(title string, severity incident.Severity) incident.ID {
	return s.do("ada", incident.Command{Verb: incident.VerbOpen, Title: title, Severity: severity}).ID
}

func (s *site) incident(id incident.ID) incident.Incident {
	s.t.Helper()
	v, err := s.desk.Show(context.Background(), incident.System, id, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return v.Incident
}

// browser is a person's browser without a script.
type browser struct {
	*site
	client *http.Client
}

// enter signs a person in.
func (s *site) enter(who incident.PersonID) *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &browser{s, &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if status, _ := b.post("/test/enter", url.Values{"person": {string(who)}}); status != http.StatusNoContent {
		s.t.Fatalf("enter %s: got status %d", who, status)
	}
	return b
}

func (b *browser) get(path string) (int, string) {
	b.t.Helper()
	return b.read(b.client.Get(b.url + path))
}

func (b *browser) post(path string, values url.Values) (int, string) {
	b.t.Helper()
	return b.read(b.client.PostForm(b.url+path, values))
}

func (b *browser) read(r *http.Response, err error) (int, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

var (
	inputTag   = regexp.MustCompile(`(?s)<input\b[^>]*>|<textarea\b[^>]*>.*?</textarea>|<select\b[^>]*>.*?</select>`)
	nameAttr   = regexp.MustCompile(`\sname="([^"]*)"`)
	valueAttr  = regexp.MustCompile(`\svalue="([^"]*)"`)
	chosenAttr = regexp.MustCompile(`(?s)<option value="([^"]*)" selected`)
	actionAttr = regexp.MustCompile(`<form method="post" action="(/[^"]*do/[^"]*)"`)
)

// filled returns the address and the values of the first form for a command on a page, as a
// browser would submit them, with changes.
func filled(t testing.TB, page string, change map[string]string) (string, url.Values) {
	t.Helper()
	at := actionAttr.FindStringSubmatchIndex(page)
	if at == nil {
		t.Fatalf("got no form in %s", page)
	}
	action := html.UnescapeString(page[at[2]:at[3]])
	form, _, _ := strings.Cut(page[at[0]:], "</form>")
	values := url.Values{}
	for _, tag := range inputTag.FindAllString(form, -1) {
		name := nameAttr.FindStringSubmatch(tag)
		if name == nil {
			continue
		}
		value := ""
		switch {
		case strings.HasPrefix(tag, "<textarea"):
			_, value, _ = strings.Cut(tag, ">\n")
			value = strings.ReplaceAll(strings.TrimSuffix(value, "</textarea>"), "\n", "\r\n")
		case strings.HasPrefix(tag, "<select"):
			if m := chosenAttr.FindStringSubmatch(tag); m != nil {
				value = m[1]
			}
		case strings.Contains(tag, `type="checkbox"`) || strings.Contains(tag, `type="radio"`):
			if !strings.Contains(tag, " checked") {
				continue
			}
			fallthrough
		default:
			if m := valueAttr.FindStringSubmatch(tag); m != nil {
				value = m[1]
			}
		}
		values.Add(name[1], html.UnescapeString(value))
	}
	for name, value := range change {
		if !slices.Contains(strings.Fields(values.Get("shown")), name) {
			t.Fatalf("got no field %s in the form with %s", name, values.Get("shown"))
		}
		values["f-"+name] = strings.Split(value, "|")
	}
	return action, values
}

// submit opens a form, fills it in and submits it.
func (b *browser) submit(path string, change map[string]string) (int, string) {
	b.t.Helper()
	status, page := b.get(path)
	if status != http.StatusOK {
		b.t.Fatalf("%s: got status %d: %s", path, status, page)
	}
	action, values := filled(b.t, page, change)
	return b.post(action, values)
}
