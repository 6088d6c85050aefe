// Package web serves the pages of Tocsin that people open in a browser.
//
// The status page of an incident is for people who were paged. Its address cannot be
// guessed, and it holds no names and no texts about a restricted incident:
//
//	mux.Handle("GET "+web.StatusPath+"{token}", web.NewStatusPage(find, log))
package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// StatusPath is the path of the status pages, before the token.
const StatusPath = "/i/"

//go:embed status.html.tmpl
var statusHTML string

//go:embed status.css
var statusCSS string

var statusTemplate = template.Must(template.New("status").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(statusCSS) }, //nolint:gosec // embedded file
	"words": func(s incident.Status) string { return strings.ReplaceAll(string(s), "_", " ") },
	"utc":   func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") },
}).Parse(statusHTML))

// contentPolicy is the Content-Security-Policy of the page. It allows only the embedded
// style sheet.
var contentPolicy = func() string {
	sum := sha256.Sum256([]byte(statusCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// NewStatusPage returns the handler of the status pages. find returns the page with a token,
// or an error with the code [incident.CodeUnknown]. Every unknown token gets an equal
// response.
func NewStatusPage(find func(ctx context.Context, token string) (incident.StatusPage, error), log *slog.Logger) http.Handler {
	log = log.With("component", "web")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, err := find(r.Context(), r.PathValue("token"))
		switch {
		case err == nil:
			render(w, http.StatusOK, view{StatusPage: page, NeedsResponder: page.Status.Responding() && !page.Acknowledged})
		case incident.CodeOf(err) == incident.CodeUnknown:
			render(w, http.StatusNotFound, view{Problem: "No page has this address.", Fix: "Check the address, or open the incident in the chat."})
		default:
			log.WarnContext(r.Context(), "read status page failed", "err", err)
			w.Header().Set("Retry-After", "30")
			render(w, http.StatusServiceUnavailable, view{Problem: "The status is not available at the moment.", Fix: "Acknowledge the page in the pager, and try this page again in a minute."})
		}
	})
}

// view holds the data of the template.
type view struct {
	incident.StatusPage
	NeedsResponder bool
	Problem, Fix   string // instead of an incident
}

func render(w http.ResponseWriter, status int, v view) {
	var body bytes.Buffer
	if err := statusTemplate.Execute(&body, v); err != nil {
		panic("web: status.html.tmpl: " + err.Error()) // fails only if the template is wrong
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}
