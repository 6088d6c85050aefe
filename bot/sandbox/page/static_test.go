package page_test

import (
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestStaticFilesStandAlone holds that every file the page names is there, that
// nothing comes from elsewhere, and that no text can become markup.
func TestStaticFilesStandAlone(t *testing.T) {
	w := newWorld(t)
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
			t.Errorf("%s has %s", path, bad)
		}
		for _, m := range names.FindAllSubmatch(raw, -1) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/static/"+string(m[1]), nil)
			if err != nil {
				return err
			}
			if res, _ := w.do(req); res.StatusCode != http.StatusOK {
				t.Errorf("%s names %s: %d", path, m[1], res.StatusCode)
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
		t.Errorf("the page is %s under %q", body, res.Header.Get("Content-Security-Policy"))
	}
}
