package vulnreport

import (
	"cmp"
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
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"tocsin/bot/mailtext"
	"tocsin/bot/setting"
)

// FormConfig configures the public form at /report.
type FormConfig struct {
	Company string `yaml:"company"` // name of the company in the heading
	Policy  string `yaml:"policy"`  // URL of the disclosure policy (optional)
	Contact string `yaml:"contact"` // another contact, shown when the form fails (optional)
	// TrustedOrigins lists other origins that may post the form, such as
	// "https://www.example.com" for a site with a copy of it.
	TrustedOrigins []string `yaml:"trusted_origins"`
	// Acknowledge confirms receipt by mail if the contact of the reporter is a mail
	// address.
	Acknowledge bool `yaml:"acknowledge"`
}

// Validate returns the problems of the configuration.
func (c FormConfig) Validate() setting.Problems {
	var p setting.Problems
	if c.Company == "" {
		p.Add("company", "is missing. Write the name of the company, which the form shows")
	}
	for _, one := range []struct{ key, address string }{{"policy", c.Policy}, {"contact", c.Contact}} {
		if u, err := url.Parse(one.address); one.address != "" && (err != nil || u.Scheme != "https" && u.Scheme != "mailto") {
			p.Add(one.key, "is not an https: or mailto: URL. Write one such as https://example.com/security")
		}
	}
	for n, origin := range c.TrustedOrigins {
		if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil {
			p.Add(setting.Index("trusted_origins", n), "is not an origin. Write one such as https://www.example.com")
		}
	}
	return p
}

// The rate limits of the form. They prevent a flood of reports. The reports of one
// network cannot use up the limit for all, because a stranger may control every
// address of a network. A reporter with more reports can use mail.
const (
	perSender          = 5                // burst of one sender
	perSenderInterval  = 10 * time.Minute // one more report of a sender
	perNetwork         = 20               // burst of one network, an IPv4 /24 or an IPv6 /48
	perNetworkInterval = 3 * time.Minute  // one more report of a network
	maxTotal           = 240              // burst of all senders
	totalInterval      = 15 * time.Second // one more report of any sender
	maxSenders         = 4096             // remembered senders, and remembered networks
)

// MaxFormBytes is the maximum size of a posted form in bytes.
const MaxFormBytes = 128 << 10

// maxFieldLen is the maximum length of each field, in characters.
var maxFieldLen = map[string]int{"title": 200, "asset": 300, "contact": 200, "description": 20000}

// Form serves GET and POST /report. The page works without scripts. Form is safe for
// concurrent use.
type Form struct {
	cfg     FormConfig
	deps    Deps
	log     *slog.Logger
	handler http.Handler

	mu       sync.Mutex
	senders  map[string]*rate.Limiter // by sender
	networks map[string]*rate.Limiter // by network
	total    *rate.Limiter
}

//go:embed form.html.tmpl
var pageHTML string

//go:embed form.css
var pageCSS string

var formPage = template.Must(template.New("form").Funcs(template.FuncMap{"style": func() template.CSS {
	return template.CSS(pageCSS) //nolint:gosec // embedded file
}}).Parse(pageHTML))

// contentPolicy is the Content-Security-Policy of the page. It allows only the
// embedded style sheet and submitting the form.
var contentPolicy = func() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// NewForm returns the form.
func NewForm(c FormConfig, d Deps) (*Form, error) {
	if d.Deliver == nil {
		return nil, errors.New("report form: deliver function is missing")
	}
	d = d.withDefaults()
	f := &Form{cfg: c, deps: d, log: d.Logger, senders: map[string]*rate.Limiter{}, networks: map[string]*rate.Limiter{},
		total: rate.NewLimiter(rate.Every(totalInterval), maxTotal)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, _ *http.Request) { f.render(w, http.StatusOK, view{ID: rand.Text()}) })
	mux.HandleFunc("POST /report", f.submit)
	guard := http.NewCrossOriginProtection()
	for _, origin := range c.TrustedOrigins {
		if err := guard.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("report form: trusted origin: %w", err)
		}
	}
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f.render(w, http.StatusForbidden, view{ID: rand.Text(), Problem: "The form was submitted from another site. Please fill it in here."})
	}))
	f.handler = guard.Handler(mux)
	return f, nil
}

// ServeHTTP handles requests for /report.
func (f *Form) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }

// view holds the data of the page template.
type view struct {
	Company, Policy, Contact string

	ID      string // identifies this page: submitting it twice makes one report
	Entry   entry
	Errors  map[string]string // by field name
	Problem string            // of the form as a whole
	Done    bool
}

func (f *Form) render(w http.ResponseWriter, status int, v view) {
	v.Company, v.Policy, v.Contact = f.cfg.Company, f.cfg.Policy, f.cfg.Contact
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "60")
	}
	w.WriteHeader(status)
	if err := formPage.Execute(w, v); err != nil {
		f.log.Warn("render report form failed", "err", err)
	}
}

// formIDPattern matches the output of rand.Text.
var formIDPattern = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// submit handles a posted form. It thanks the reporter only after the report is on
// disk. After an error the page contains the submitted text again, unless the request
// could not be parsed.
func (f *Form) submit(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, MaxFormBytes)
	v := view{ID: rand.Text()}
	if err := r.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			status = http.StatusRequestEntityTooLarge
		}
		v.Problem = "The form could not be read or is too long."
		f.render(w, status, v)
		return
	}
	v.Entry, v.Errors = readEntry(decodedField(r))
	if id := r.PostForm.Get("id"); formIDPattern.MatchString(id) {
		v.ID = id
	}
	if len(v.Errors) > 0 {
		v.Problem = "Please correct the marked fields."
		f.render(w, http.StatusUnprocessableEntity, v)
		return
	}
	sender := f.deps.Sender(r)
	if wait := f.reserve(sender); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		v.Problem = "We received too many reports in a short time. Please send this one again later."
		f.render(w, http.StatusTooManyRequests, v)
		return
	}
	v.Entry.Reference = reference(v.ID, v.Entry.Title, v.Entry.Asset, v.Entry.Severity, v.Entry.Contact, v.Entry.Description)
	body, err := json.Marshal(v.Entry)
	if err == nil {
		err = f.deps.Deliver(r.Context(), viaForm+":"+v.Entry.Reference, map[string]string{headerVia: viaForm, headerAt: f.deps.Clock().UTC().Format(time.RFC3339)}, body, sender)
	}
	if err != nil {
		f.log.Error("store form report failed", "err", err)
		v.Problem = "Your report may not have been stored. Please send it again in a minute. We count a repeated report only once."
		f.render(w, http.StatusServiceUnavailable, v)
		return
	}
	v.Done = true
	f.render(w, http.StatusOK, v)
}

// decodedField returns a function that returns a submitted field as UTF-8. Browsers and
// copies of the form may declare another charset, in the field _charset_ or in the type.
func decodedField(r *http.Request) func(string) string {
	_, params := mailtext.Params(r.Header.Get("Content-Type"))
	charset := cmp.Or(r.PostForm.Get("_charset_"), params["charset"])
	return func(field string) string {
		s, _ := mailtext.Charset([]byte(r.PostForm.Get(field)), charset)
		return s
	}
}

// readEntry returns the submitted fields and an error message for each invalid field.
func readEntry(get func(string) string) (entry, map[string]string) {
	errs := map[string]string{}
	value := func(field string) string {
		s := strings.TrimSpace(strings.ToValidUTF8(get(field), "\uFFFD"))
		if n := utf8.RuneCountInString(s); n > maxFieldLen[field] {
			errs[field] = fmt.Sprintf("This text has %d characters. The limit is %d.", n, maxFieldLen[field])
		}
		return s
	}
	e := entry{Title: value("title"), Asset: value("asset"), Contact: value("contact"), Description: value("description"), Severity: get("severity")}
	if e.Title == "" {
		errs["title"] = "Enter a title of one line."
	}
	if e.Description == "" {
		errs["description"] = "Describe the vulnerability and how to reproduce it."
	}
	if _, known := statedLevels[e.Severity]; !known && e.Severity != "" {
		e.Severity = ""
		errs["severity"] = "Choose a severity from the list."
	}
	if get("website") != "" { // hidden from people, but a browser may fill it in
		errs["website"] = "Leave this field empty."
	}
	return e, errs
}

// reserve counts a report against the rate limits. It returns 0 if the report is
// allowed, otherwise the time until another one is allowed.
func (f *Form) reserve(sender string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.deps.Clock()
	limiters := []*rate.Limiter{
		limiterOf(f.senders, sender, perSenderInterval, perSender),
		limiterOf(f.networks, networkOf(sender), perNetworkInterval, perNetwork),
		f.total,
	}
	for _, l := range limiters {
		if l.TokensAt(now) < 1 {
			return tokenDelay(l, now)
		}
	}
	for _, l := range limiters {
		l.AllowN(now, 1)
	}
	return 0
}

// limiterOf returns the limiter of key, and creates it if necessary. A full map is
// cleared, and the limit for all senders still applies.
func limiterOf(limiters map[string]*rate.Limiter, key string, interval time.Duration, burst int) *rate.Limiter {
	if len(limiters) >= maxSenders {
		clear(limiters)
	}
	l := limiters[key]
	if l == nil {
		l = rate.NewLimiter(rate.Every(interval), burst)
		limiters[key] = l
	}
	return l
}

// networkOf returns the network of an address, or the text itself if it is not an
// address.
func networkOf(sender string) string {
	addr, err := netip.ParseAddr(sender)
	if err != nil {
		return sender
	}
	bits := 24
	if addr.Unmap().Is6() {
		bits = 48
	}
	return netip.PrefixFrom(addr.Unmap(), bits).Masked().String()
}

// tokenDelay returns the time until l has a whole token, at least one second.
func tokenDelay(l *rate.Limiter, now time.Time) time.Duration {
	return max(time.Second, time.Duration((1-l.TokensAt(now))/float64(l.Limit())*float64(time.Second)))
}
