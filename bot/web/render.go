package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

//go:embed static
var staticFiles embed.FS

//go:embed pages
var pageFiles embed.FS

// pageTemplates are the pages by name. Each has the blocks of layout.html.tmpl.
var pageTemplates = func() map[string]*template.Template {
	functions := template.FuncMap{
		"words":   func(s incident.Status) string { return strings.ReplaceAll(string(s), "_", " ") },
		"capital": text.Capital,
		"utc":     func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") },
		"time":    timeTag,
		"ago":     agoTag,
	}
	names, err := fs.Glob(pageFiles, "pages/*.html.tmpl")
	if err != nil {
		panic(err)
	}
	out := map[string]*template.Template{}
	for _, path := range names {
		if name := strings.TrimSuffix(strings.TrimPrefix(path, "pages/"), ".html.tmpl"); name != "layout" && name != "parts" {
			out[name] = template.Must(template.New("layout.html.tmpl").Funcs(functions).ParseFS(pageFiles, "pages/layout.html.tmpl", "pages/parts.html.tmpl", path))
		}
	}
	return out
}()

// pageData is the input of a page's template.
type pageData struct {
	Title   string
	Section string // of the navigation
	Visitor visitor
	Data    any
}

// sections are the sections of the navigation, by the beginning of the name of a page.
var sections = map[string]string{"incident": "incidents", "form": "incidents", "sign_": "incidents", "account": "account", "passkey": "account"}

// sectionOf returns the page's section of the navigation, or "".
func sectionOf(page string) string {
	for start, section := range sections {
		if strings.HasPrefix(page, start) {
			return section
		}
	}
	return ""
}

// render writes a page.
func (s *Server) render(w http.ResponseWriter, v visitor, status int, name, title string, data any) error {
	var body bytes.Buffer
	if err := pageTemplates[name].Execute(&body, pageData{title, sectionOf(name), v, data}); err != nil {
		return fmt.Errorf("write page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
	return nil
}

// problem writes an error as a page. Only domain errors are shown.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, v visitor, err error) {
	status, message := http.StatusServiceUnavailable, "Tocsin cannot answer at the moment. Try again in a minute."
	var refused *incident.Error
	if errors.As(err, &refused) {
		message = text.Capital(refused.String()) + "."
		status = statusOf(refused)
	} else {
		s.Log.WarnContext(r.Context(), "page failed", "path", r.Pattern, "err", err)
	}
	if err := s.render(w, v, status, "problem", "Problem", message); err != nil {
		s.Log.ErrorContext(r.Context(), "page failed", "path", r.Pattern, "err", err)
	}
}

// timeTag returns a time for people and for the browser.
func timeTag(at time.Time) template.HTML {
	return template.HTML(fmt.Sprintf("<time datetime=%q>%s</time>", at.UTC().Format(time.RFC3339), at.UTC().Format("2006-01-02 15:04 UTC"))) //nolint:gosec // of numbers
}

// agoTag returns the time since a moment.
func agoTag(now, at time.Time) template.HTML {
	d := now.Sub(at)
	word := ""
	switch {
	case d < time.Minute:
		word = "less than a minute ago"
	case d < time.Hour:
		word = fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		word = fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		word = fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
	return template.HTML(fmt.Sprintf("<time datetime=%q title=%q>%s</time>", at.UTC().Format(time.RFC3339), at.UTC().Format("2006-01-02 15:04 UTC"), word)) //nolint:gosec // of numbers
}
