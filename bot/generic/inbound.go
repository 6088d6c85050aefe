package generic

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/expression"
	"tocsin/bot/incident"
	"tocsin/bot/secret"
	"tocsin/bot/text"
)

// dedupWindow is how long an identical body without a delivery ID counts as a
// duplicate. An identical body a day later is a new delivery.
const dedupWindow = 10 * time.Minute

// errNoSecret is a configuration error. The edge answers it with a 5xx status.
var errNoSecret = errors.New("generic: no secret is configured")

// Verify checks the bearer token or the signature and returns the delivery ID. A
// signature covers the body but not the headers, so the body of a signed delivery
// identifies it within [dedupWindow], and never Config.DeliveryHeader. A token covers
// the whole request.
func (s *Source) Verify(_ context.Context, h http.Header, body []byte, now time.Time) (string, error) {
	check := s.verifyToken
	if len(s.cfg.HMAC.Secrets) > 0 {
		check = s.verifySignature
	}
	if err := check(h, body); err != nil {
		return "", err
	}
	if id := s.deliveryHeader(h); id != "" && len(s.cfg.HMAC.Secrets) == 0 {
		return id, nil
	}
	return fmt.Sprintf("%s@%d", text.SHA256(body), now.Truncate(dedupWindow).Unix()), nil
}

// VerifyHeader is [intake.HeaderVerifier]. A signature depends on the body.
func (s *Source) VerifyHeader(h http.Header) (possible bool, err error) {
	if len(s.cfg.HMAC.Secrets) > 0 {
		return false, nil
	}
	return true, s.verifyToken(h, nil)
}

// deliveryHeader returns the value of Config.DeliveryHeader, or "".
func (s *Source) deliveryHeader(h http.Header) string {
	if s.cfg.DeliveryHeader == "" {
		return ""
	}
	return h.Get(s.cfg.DeliveryHeader)
}

func (s *Source) verifyToken(h http.Header, _ []byte) error {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	genuine, configured := secret.EqualAny(s.cfg.Tokens, strings.TrimSpace(token))
	switch {
	case !configured:
		return errNoSecret
	case !genuine || !strings.EqualFold(scheme, "Bearer"):
		return incident.Forbidden("the Authorization header must contain the configured bearer token")
	}
	return nil
}

func (s *Source) verifySignature(h http.Header, body []byte) error {
	c := s.cfg.HMAC
	encoded, prefixed := strings.CutPrefix(strings.TrimSpace(h.Get(c.Header)), c.Prefix)
	got, err := hex.DecodeString(encoded)
	if err != nil {
		got, err = base64.StdEncoding.DecodeString(encoded)
	}
	genuine, configured := secret.VerifyAny(c.Secrets, body, got)
	switch {
	case !configured:
		return errNoSecret
	case !prefixed || err != nil || !genuine:
		return incident.Forbidden("%s must be %q followed by the HMAC-SHA256 of the body in hex or base64", c.Header, c.Prefix)
	}
	return nil
}

// Decode applies the mapping. It returns one signal for each element of
// Mapping.Each that satisfies Mapping.When.
func (s *Source) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	doc, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", s.cfg.Name, err)
	}
	return s.signals(h, doc), nil
}

// signals applies the mapping to a document.
func (s *Source) signals(h http.Header, doc any) []incident.Signal {
	e := env{Body: doc, Item: doc, Header: map[string]string{}}
	for _, name := range s.headers {
		e.Header[name] = h.Get(name)
	}
	budget := expression.NewBudget(expression.MappingSteps)
	items, failure := s.items(e, budget)
	unread := max(len(items)-maxItems, 0)
	items = items[:len(items)-unread]
	var out []incident.Signal
	for n, item := range items {
		if budget.Exhausted() {
			unread += len(items) - n
			break
		}
		r := &evaluation{env: e, budget: budget}
		if r.env.Item = item; failure != "" {
			r.failed = append(r.failed, failure)
		}
		if signal, ok := s.signal(r); ok {
			signal.Event = s.event(h, n)
			out = append(out, signal)
		}
	}
	if unread > 0 {
		out = append(out, incident.Signal{Alert: s.unreadAlert(unread), Event: s.event(h, -1), Unreadable: true})
	}
	return out
}

// items returns the elements of Mapping.Each. If it fails, the only item is the
// body, and failure is the reason.
func (s *Source) items(e env, budget *expression.Budget) (items []any, failure string) {
	each := s.programs["each"]
	if each == nil {
		return []any{e.Body}, ""
	}
	list, err := each.Run(e, budget)
	if err != nil {
		return []any{e.Body}, "mapping.each failed: " + err.Error()
	}
	items, ok := list.([]any)
	if !ok {
		return []any{e.Body}, fmt.Sprintf("mapping.each failed: got %s, want a list", jsonType(list))
	}
	return items, ""
}

// maxItems is the maximum number of items that are read of one delivery. Each costs an
// evaluation of the mapping and a write to the database.
const maxItems = 1000

// unreadAlert returns the alert for the items beyond maxItems and those that are left
// when the budget of a delivery is used up. Its level is high, because theirs are
// unknown.
func (s *Source) unreadAlert(n int) *incident.Alert {
	key := s.cfg.Name + ":unread"
	return &incident.Alert{
		Source: s.cfg.Name, Kind: s.cfg.Name + ".unread", Level: incident.LevelHigh,
		Title: fmt.Sprintf("%d items from %s were not read", n, s.cfg.Name),
		Detail: fmt.Sprintf("Tocsin reads %d items of one delivery, and spends %d steps on their expressions. Look at the others in the sending system. Send fewer in each delivery, or use cheaper expressions.",
			maxItems, expression.MappingSteps),
		Fingerprint: key, Correlation: key, LeftOut: n,
	}
}

// event returns the name of the n-th item of a signed delivery with a delivery header,
// or "". A retry after [dedupWindow] is another delivery, and its items are recognised
// by this name.
func (s *Source) event(h http.Header, n int) string {
	id := s.deliveryHeader(h)
	if id == "" || len(s.cfg.HMAC.Secrets) == 0 {
		return ""
	}
	return fmt.Sprintf("%s|%d|%s", s.cfg.Name, n, id)
}

// evaluation evaluates the expressions for one item and collects their errors.
type evaluation struct {
	env    env
	budget *expression.Budget
	failed []string
}

// run evaluates p. It returns nil if p is nil or fails.
func (r *evaluation) run(field string, p *expression.Program) any {
	if p == nil {
		return nil
	}
	v, err := p.Run(r.env, r.budget)
	if err != nil {
		r.fail(field, err.Error())
		return nil
	}
	return v
}

func (r *evaluation) fail(field, reason string) {
	r.failed = append(r.failed, fmt.Sprintf("mapping.%s failed: %s", field, reason))
}

func (r *evaluation) text(field string, p *expression.Program) string {
	switch v := r.run(field, p).(type) {
	case nil:
		return ""
	case string:
		return strings.ToValidUTF8(v, "\uFFFD") // an expression may split a character or decode binary data
	case bool, int, int64:
		return fmt.Sprint(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default: // a list or an object
		out, err := json.Marshal(v)
		if err != nil {
			r.fail(field, fmt.Sprintf("got %s, want a string, a number or a boolean", jsonType(v)))
		}
		return string(out)
	}
}

// time converts the time of an alert. Without one, the time of receipt counts, and the
// detail of the alert reports a time that cannot be read.
func (r *evaluation) time(s string) time.Time {
	at := text.Timestamp(s)
	if unread := text.UnreadTime(at, s); unread != "" {
		r.fail("at", unread+". Send RFC 3339, or the seconds, milliseconds, microseconds or nanoseconds since 1970")
	}
	return at
}

// signal returns one alert, or a note that the alert has ended. It returns false if
// Mapping.When is false. A condition that fails does not suppress the alert.
func (s *Source) signal(r *evaluation) (incident.Signal, bool) {
	if v := r.run("when", s.programs["when"]); v == false {
		return incident.Signal{}, false
	}
	a := &incident.Alert{Source: s.cfg.Name, Sample: r.run("sample", s.programs["sample"]) == true}
	for _, f := range []struct {
		name string
		to   *string
	}{{"title", &a.Title}, {"kind", &a.Kind}, {"fingerprint", &a.Fingerprint}, {"correlation", &a.Correlation}, {"detail", &a.Detail},
		{"url", &a.URL}, {"event_id", &a.EventID}, {"project", &a.Project}, {"release", &a.Release}, {"environment", &a.Environment},
		{"account", &a.Account}, {"region", &a.Region}, {"principal", &a.Principal}, {"address", &a.Address}, {"rule", &a.Rule}} {
		*f.to = r.text(f.name, s.programs[f.name])
	}
	for _, tag := range slices.Sorted(maps.Keys(s.tags)) {
		if v := r.text("tags."+tag, s.tags[tag]); v != "" {
			if a.Tags == nil {
				a.Tags = map[string]string{}
			}
			a.Tags[tag] = v
		}
	}
	a.Level = r.level(r.text("level", s.programs["level"]))
	a.At = r.time(r.text("at", s.programs["at"]))
	a.URL = text.WebURL(a.URL)
	s.fillDefaults(a)
	if r.run("resolved", s.programs["resolved"]) == true {
		return s.resolvedNote(a, r.failed), true
	}
	if len(r.failed) > 0 {
		a.Detail = strings.TrimSpace(a.Detail + "\n" + strings.Join(r.failed, "\n"))
	}
	return incident.Signal{Alert: a}, true
}

// fillDefaults sets the fields that the mapping left empty. It prefixes fingerprint
// and correlation key with the source name, because equal keys of two sources must
// not share an incident.
func (s *Source) fillDefaults(a *incident.Alert) {
	a.Kind = cmp.Or(a.Kind, s.cfg.Name+".alert")
	a.Title = cmp.Or(strings.TrimSpace(a.Title), "Alert from "+s.cfg.Name)
	a.Fingerprint = s.cfg.Name + ":" + cmp.Or(a.Fingerprint, a.Kind+" "+a.Title)
	if a.Correlation == "" {
		a.Correlation = a.Fingerprint
	} else {
		a.Correlation = s.cfg.Name + ":" + a.Correlation
	}
}

// resolvedNote returns a note for the incident with a's correlation key. It does not
// change the incident's status.
func (s *Source) resolvedNote(a *incident.Alert, failed []string) incident.Signal {
	note := append([]string{s.cfg.Name + ": " + a.Title + ": resolved"}, failed...)
	return incident.Signal{
		Command: &incident.Command{
			Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: s.cfg.Name},
			Auth: s.cfg.Name + " webhook", Via: incident.ViaSource, HappenedAt: a.At, Text: strings.Join(note, "\n"),
		},
		Subject: incident.IncidentRef{Correlation: a.Correlation},
	}
}

// level converts common words for a level. An unknown word becomes medium for a
// responder to review, and the alert's detail reports it.
func (r *evaluation) level(word string) incident.Level {
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
		r.failed = append(r.failed, fmt.Sprintf("mapping.level: unknown level %q, treated as medium. Use critical, high, medium, low or informational", text.Truncate(word, 40)))
	}
	return incident.LevelMedium
}

// jsonType returns the JSON type of an expression's result.
func jsonType(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	}
	return "a number"
}
