package generic

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

// repeatWithin is how long the same body without a delivery id is taken for a
// repetition. A day later the same words are news.
const repeatWithin = 10 * time.Minute

// errNoSecret is our own fault, not the sender's: the edge answers 5xx.
var errNoSecret = errors.New("generic: no secret is configured")

// Verify checks the bearer token or the signature.
func (s *Source) Verify(h http.Header, body []byte, now time.Time) (string, error) {
	check := s.token
	if len(s.cfg.HMAC.Secrets) > 0 {
		check = s.signature
	}
	if err := check(h, body); err != nil {
		return "", err
	}
	if id := h.Get(s.cfg.DeliveryHeader); s.cfg.DeliveryHeader != "" && id != "" {
		return id, nil
	}
	sum := sha256.Sum256(body)
	return fmt.Sprintf("%x@%d", sum, now.Truncate(repeatWithin).Unix()), nil
}

func (s *Source) token(h http.Header, _ []byte) error {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	genuine, known := secret.EqualAny(s.cfg.Tokens, strings.TrimSpace(token))
	switch {
	case !known:
		return errNoSecret
	case !genuine || !strings.EqualFold(scheme, "Bearer"):
		return incident.Forbidden("Authorization must carry the bearer token that is configured here")
	}
	return nil
}

func (s *Source) signature(h http.Header, body []byte) error {
	c := s.cfg.HMAC
	text, prefixed := strings.CutPrefix(strings.TrimSpace(h.Get(c.Header)), c.Prefix)
	got, err := hex.DecodeString(text)
	if err != nil {
		got, err = base64.StdEncoding.DecodeString(text)
	}
	genuine, known := secret.VerifyAny(c.Secrets, body, got)
	switch {
	case !known:
		return errNoSecret
	case !prefixed || err != nil || !genuine:
		return incident.Forbidden("%s must be %q and the HMAC-SHA256 of the body, in hex or base64", c.Header, c.Prefix)
	}
	return nil
}

// Decode applies the mapping.
func (s *Source) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	doc, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", s.cfg.Name, err)
	}
	e := env{Body: doc, Item: doc, Header: map[string]string{}}
	for _, name := range s.headers {
		e.Header[name] = h.Get(name)
	}
	items := []any{doc}
	if s.each != nil {
		list, err := expr.Run(s.each, e)
		if err != nil {
			return nil, fmt.Errorf("decode %s: mapping.each: %s", s.cfg.Name, sentence(err))
		}
		var ok bool
		if items, ok = list.([]any); !ok {
			return nil, fmt.Errorf("decode %s: mapping.each gives %s, no list", s.cfg.Name, kind(list))
		}
	}
	var out []incident.Signal
	for _, item := range items {
		e.Item = item
		if signal, ok := s.signal(e); ok {
			out = append(out, signal)
		}
	}
	return out, nil
}

// reading is one item on its way to an alert, with what failed on it.
type reading struct {
	env    env
	failed []string
}

// run gives nothing for no expression and for one that fails.
func (r *reading) run(field string, p *vm.Program) any {
	if p == nil {
		return nil
	}
	v, err := expr.Run(p, r.env)
	if err != nil {
		r.fail(field, sentence(err))
		return nil
	}
	return v
}

func (r *reading) fail(field, why string) {
	r.failed = append(r.failed, fmt.Sprintf("mapping.%s could not be computed: %s", field, why))
}

func (r *reading) text(field string, p *vm.Program) string {
	switch v := r.run(field, p).(type) {
	case nil:
		return ""
	case string:
		return strings.ToValidUTF8(v, "\uFFFD") // an expression may cut a character in two, or decode what is no text
	case bool, int, int64:
		return fmt.Sprint(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		r.fail(field, fmt.Sprintf("it gives %s, no text", kind(v)))
		return ""
	}
}

// signal makes one alert, or a note of its end. A condition that fails lets the
// alert through.
func (s *Source) signal(e env) (incident.Signal, bool) {
	r := &reading{env: e}
	if v := r.run("when", s.when); v == false {
		return incident.Signal{}, false
	}
	a := &incident.Alert{Source: s.cfg.Name, Sample: r.run("sample", s.sample) == true}
	for _, f := range []struct {
		name string
		to   *string
	}{{"title", &a.Title}, {"kind", &a.Kind}, {"fingerprint", &a.Fingerprint}, {"correlation", &a.Correlation}, {"detail", &a.Detail},
		{"url", &a.URL}, {"event_id", &a.EventID}, {"project", &a.Project}, {"release", &a.Release}, {"environment", &a.Environment},
		{"account", &a.Account}, {"region", &a.Region}, {"principal", &a.Principal}, {"address", &a.Address}, {"rule", &a.Rule}} {
		*f.to = r.text(f.name, s.texts[f.name])
	}
	for _, tag := range slices.Sorted(maps.Keys(s.tags)) {
		if v := r.text("tags."+tag, s.tags[tag]); v != "" {
			if a.Tags == nil {
				a.Tags = map[string]string{}
			}
			a.Tags[tag] = v
		}
	}
	a.Level = r.level(r.text("level", s.texts["level"]))
	a.At = instant(r.text("at", s.texts["at"]))
	a.URL = webURL(a.URL)
	s.complete(a)
	if r.run("resolved", s.resolved) == true {
		return s.resolution(a), true
	}
	if len(r.failed) > 0 {
		a.Detail = strings.TrimSpace(a.Detail + "\n" + strings.Join(r.failed, "\n"))
	}
	return incident.Signal{Alert: a}, true
}

// complete fills in what the mapping left empty. The keys are the source's own:
// no two sources share an incident by accident.
func (s *Source) complete(a *incident.Alert) {
	a.Kind = cmp.Or(a.Kind, s.cfg.Name+".alert")
	a.Title = cmp.Or(strings.TrimSpace(a.Title), "Alert from "+s.cfg.Name)
	a.Fingerprint = s.cfg.Name + ":" + cmp.Or(a.Fingerprint, a.Kind+" "+a.Title)
	if a.Correlation == "" {
		a.Correlation = a.Fingerprint
	} else {
		a.Correlation = s.cfg.Name + ":" + a.Correlation
	}
}

// resolution is noted where the alert is, and moves nothing.
func (s *Source) resolution(a *incident.Alert) incident.Signal {
	return incident.Signal{
		Command: &incident.Command{
			Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: s.cfg.Name},
			Auth: s.cfg.Name + " webhook", Via: incident.ViaSource, HappenedAt: a.At, Text: s.cfg.Name + ": " + a.Title + ": resolved",
		},
		Subject: incident.IncidentRef{Correlation: a.Correlation},
	}
}

// level reads the usual words. One that is not known is taken seriously enough
// to be looked at, and the alert says so.
func (r *reading) level(word string) incident.Level {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "critical", "fatal", "emergency", "p1", "sev1":
		return incident.LevelCritical
	case "high", "error", "alert", "p2", "sev2":
		return incident.LevelHigh
	case "low", "info", "notice", "p4", "sev4":
		return incident.LevelLow
	case "informational", "none", "debug", "ok":
		return incident.LevelInformational
	case "", "medium", "moderate", "warning", "warn", "p3", "sev3":
	default:
		if cut := []rune(word); len(cut) > 40 {
			word = string(cut[:40]) + "…"
		}
		r.failed = append(r.failed, fmt.Sprintf("mapping.level gives %q, which is none; it counts as medium. Known are critical, high, medium, low and informational", word))
	}
	return incident.LevelMedium
}

func instant(s string) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC()
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 && f < 1e11 {
		return time.UnixMicro(int64(f * 1e6)).UTC()
	}
	return time.Time{}
}

// webURL is an address that a person may safely click, or nothing.
func webURL(s string) string {
	if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return s
}

// sentence is the first line of an error of expr; the others are a drawing of
// where in the expression it happened.
func sentence(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ReplaceAll(line, "<nil>", "nothing")
}

// kind names what an expression gave, as JSON calls it.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a text"
	case bool:
		return "true or false"
	}
	return "a number"
}
