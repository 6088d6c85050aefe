package page_test

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestStaticFiles checks that every referenced file exists, that no file is
// loaded from another server, and that no code can turn text into markup.
func TestStaticFiles(t *testing.T) {
	w := newFixture(t)
	names := regexp.MustCompile(`(?:from|src=|href=) ?"(?:\./|/static/)([\w.]+)"`)
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|url\(http|src="http|@import`)
	files := os.DirFS("static")
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		if bad := forbidden.Find(raw); bad != nil {
			t.Errorf("%s contains %s", path, bad)
		}
		for _, m := range names.FindAllSubmatch(raw, -1) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/static/"+string(m[1]), nil)
			if err != nil {
				return err
			}
			if res, _ := w.do(req); res.StatusCode != http.StatusOK {
				t.Errorf("%s refers to %s: got status %d, want 200", path, m[1], res.StatusCode)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, body := w.do(req); !strings.Contains(string(body), "app.js") || !strings.Contains(res.Header.Get("Content-Security-Policy"), "script-src 'self'") {
		t.Errorf("got page %s with policy %q", body, res.Header.Get("Content-Security-Policy"))
	}
}

// TestEmoji_KnowsThoseOfTheBot checks that the page can draw every emoji that the bot
// writes.
func TestEmoji_KnowsThoseOfTheBot(t *testing.T) {
	table, err := os.ReadFile("static/emoji.js")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, word := range strings.Fields(string(table)) {
		known[word] = true
	}
	used := regexp.MustCompile(`[iI]con(?:Line)?(?:\(|: )"([a-z0-9_+-]+)"|":([a-z][a-z0-9_+-]+): `)
	seen := 0
	for _, folder := range []string{"../../chat", "../../slack"} {
		paths, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range used.FindAllStringSubmatch(string(source), -1) {
				if seen++; !known[m[1]+m[2]] {
					t.Errorf("%s writes :%s:, which emoji.js does not contain", path, m[1]+m[2])
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("got %d emoji in the code of the bot, want more: has their notation changed?", seen)
	}
}
