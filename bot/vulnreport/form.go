package vulnreport

import (
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"math"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"
)

// FormConfig of the public form.
type FormConfig struct {
	Deliver Deliver
	Company string // whose form it is
	Policy  string // address of the disclosure policy; optional
	Contact string // where else to write, shown when the form fails; optional
	// Sender is the address that a request came from, as intake sees it; default
	// the peer's.
	Sender func(*http.Request) string
	// TrustedOrigins may post the form although they are not ours, for a site that
	// shows the same form; "https://www.example.com".
	TrustedOrigins []string
	Clock          func() time.Time // default time.Now
	Logger         *slog.Logger     // default slog.Default
}

// How many reports are taken: from one sender, and in all. Whoever has more to
// say writes a mail; whoever floods the form fills no triage.
const (
	perSender      = 5
	perSenderEvery = 10 * time.Minute
	maxTotal       = 60
	totalWindow    = time.Minute
	maxKnown       = 4096
)

const maxForm = 128 << 10 // bytes of a posted form

// limits of the fields, in characters.
var maxFieldLen = map[string]int{"title": 200, "asset": 300, "contact": 200, "description": 20000}

// Form serves GET and POST /report. It needs no script in the browser.
type Form struct {
	cfg     FormConfig
	log     *slog.Logger
	handler http.Handler

	mu    sync.Mutex
	known map[string]*rate.Limiter // by sender
	all   *rate.Limiter
}

//go:embed form.html.tmpl
var page string

//go:embed form.css
var style string

var formPage = template.Must(template.New("form").Funcs(template.FuncMap{"style": func() template.CSS {
	return template.CSS(style) //nolint:gosec // our own file
}}).Parse(page))

// policy allows nothing but our own style and the form itself.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// NewForm makes the form.
func NewForm(c FormConfig) (*Form, error) {
	if c.Deliver == nil {
		return nil, errors.New("report form: there is nothing to deliver to")
	}
	if c.Sender == nil {
		c.Sender = func(r *http.Request) string {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			return host
		}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	f := &Form{cfg: c, log: c.Logger.With("component", name), known: map[string]*rate.Limiter{},
		all: rate.NewLimiter(rate.Every(totalWindow), maxTotal)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) { f.show(w, http.StatusOK, view{ID: rand.Text()}) })
	mux.HandleFunc("POST /report", f.post)
	guard := http.NewCrossOriginProtection()
	for _, origin := range c.TrustedOrigins {
		if err := guard.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("report form: trusted origin: %w", err)
		}
	}
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f.show(w, http.StatusForbidden, view{ID: rand.Text(), Problem: "The form was sent from another site. Please fill it in here."})
	}))
	f.handler = guard.Handler(mux)
	return f, nil
}

// ServeHTTP answers for /report.
func (f *Form) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }

// view is what the page shows.
type view struct {
	Company, Policy, Contact string

	ID      string // of this form: sent twice, it is one report
	Entry   entry
	Errors  map[string]string // by field
	Problem string            // of the whole
	Done    bool
}

func (f *Form) show(w http.ResponseWriter, status int, v view) {
	v.Company, v.Policy, v.Contact = f.cfg.Company, f.cfg.Policy, f.cfg.Contact
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "60")
	}
	w.WriteHeader(status)
	if err := formPage.Execute(w, v); err != nil {
		f.log.Warn("report form not shown", "error", err)
	}
}

// formID is what rand.Text makes.
var formID = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// post takes a report. Only after it is on disk is anybody thanked; whatever goes
// wrong, the reporter gets back what they wrote.
func (f *Form) post(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	v := view{ID: rand.Text()}
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			status = http.StatusRequestEntityTooLarge
		}
		v.Problem = "The form could not be read, or is too long."
		f.show(w, status, v)
		return
	}
	v.Entry, v.Errors = read(r.PostForm.Get)
	if id := r.PostForm.Get("id"); formID.MatchString(id) {
		v.ID = id
	}
	if len(v.Errors) > 0 {
		v.Problem = "Please look at the marked fields again."
		f.show(w, http.StatusUnprocessableEntity, v)
		return
	}
	sender := f.cfg.Sender(r)
	if wait := f.wait(sender); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		v.Problem = "Too many reports came in at once. Please send this one again later."
		f.show(w, http.StatusTooManyRequests, v)
		return
	}
	v.Entry.Reference = reference(v.ID, v.Entry.Title, v.Entry.Asset, v.Entry.Severity, v.Entry.Contact, v.Entry.Description)
	body, err := json.Marshal(v.Entry)
	if err == nil {
		err = f.cfg.Deliver(r.Context(), viaForm+":"+v.Entry.Reference, map[string]string{headerVia: viaForm, headerAt: f.cfg.Clock().UTC().Format(time.RFC3339)}, body, sender)
	}
	if err != nil {
		f.log.Error("report by form not stored", "error", err)
		v.Problem = "It is not certain that your report was stored. Please send it again in a minute; it counts once."
		f.show(w, http.StatusServiceUnavailable, v)
		return
	}
	v.Done = true
	f.show(w, http.StatusOK, v)
}

// read takes the fields and says what is wrong with each.
func read(get func(string) string) (entry, map[string]string) {
	errs := map[string]string{}
	value := func(field string) string {
		s := strings.TrimSpace(strings.ToValidUTF8(get(field), "\uFFFD"))
		if n := utf8.RuneCountInString(s); n > maxFieldLen[field] {
			errs[field] = fmt.Sprintf("This is %d characters long; %d fit.", n, maxFieldLen[field])
		}
		return s
	}
	e := entry{Title: value("title"), Asset: value("asset"), Contact: value("contact"), Description: value("description"), Severity: get("severity")}
	if e.Title == "" {
		errs["title"] = "Say in one line what it is."
	}
	if e.Description == "" {
		errs["description"] = "Say how it can be seen."
	}
	if _, known := severities[e.Severity]; !known && e.Severity != "" {
		e.Severity = ""
		errs["severity"] = "Choose one of the list."
	}
	if get("website") != "" { // no person sees this field, but a browser may fill it in
		errs["website"] = "Leave this field empty."
	}
	return e, errs
}

// wait counts a report, and says how long to wait if it is one too many.
func (f *Form) wait(sender string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Clock()
	if len(f.known) >= maxKnown {
		clear(f.known) // the limit of all together still holds
	}
	one := f.known[sender]
	if one == nil {
		one = rate.NewLimiter(rate.Every(perSenderEvery), perSender)
		f.known[sender] = one
	}
	switch {
	case one.TokensAt(now) < 1:
		return tokenDelay(one, now)
	case !f.all.AllowN(now, 1):
		return tokenDelay(f.all, now)
	}
	one.AllowN(now, 1)
	return 0
}

// tokenDelay is when the limiter has a whole token again.
func tokenDelay(l *rate.Limiter, now time.Time) time.Duration {
	return max(time.Second, time.Duration((1-l.TokensAt(now))/float64(l.Limit())*float64(time.Second)))
}
