package web_test

import (
	"io/fs"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The Content-Security-Policy blocks styles and scripts inside a page.
func TestPages_NothingInline(t *testing.T) {
	inline := regexp.MustCompile(`(?i)\sstyle\s*=|<style|\son[a-z]+\s*=|<script(?:>|\s[^>]*>[^<])|javascript:`)
	files, err := fs.Glob(os.DirFS("."), "pages/*.tmpl")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d templates and error %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := inline.FindString(string(text)); found != "" {
			t.Errorf("%s: got %q inside the page, want it in a file of static", name, found)
		}
	}
}

// luminance returns the relative luminance of a colour, see WCAG 2.2.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	hex := strings.TrimPrefix(colour, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	var sum float64
	for n, weight := range []float64{.2126, .7152, .0722} {
		v, err := strconv.ParseUint(hex[2*n:2*n+2], 16, 8)
		if err != nil {
			t.Fatalf("%q: %v", colour, err)
		}
		c := float64(v) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// Texts have a contrast of 4.5 and edges of inputs one of 3, in each of the themes.
func TestStyle_Contrast(t *testing.T) {
	css, err := os.ReadFile("static/pages.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	variable := regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]+)`)
	checked := 0
	for n, theme := range themes {
		colours := map[string]string{}
		for _, v := range variable.FindAllStringSubmatch(theme[1], -1) {
			colours[v[1]] = v[2]
		}
		if len(colours) == 0 {
			continue
		}
		checked++
		for _, pair := range []struct {
			text, on string
			least    float64
		}{
			{"ink", "paper", 7}, {"ink", "back", 7}, {"ink", "wash", 4.5}, {"ink", "bad-wash", 4.5}, {"ink", "good-wash", 4.5}, {"ink", "warn-wash", 4.5},
			{"soft", "paper", 4.5}, {"soft", "back", 4.5}, {"accent", "paper", 4.5}, {"accent", "back", 4.5}, {"accent", "wash", 4.5}, {"on-accent", "accent", 4.5},
			{"bad", "paper", 4.5}, {"bad", "bad-wash", 4.5}, {"good", "paper", 4.5}, {"good", "good-wash", 4.5}, {"warn", "paper", 4.5}, {"warn", "warn-wash", 4.5},
			{"review", "review-wash", 4.5}, {"on-sev", "sev1", 4.5}, {"on-sev", "sev2", 4.5}, {"edge", "paper", 3}, {"mark", "paper", 3},
			{"ink", "triage", 4.5}, {"ink", "active", 4.5}, {"ink", "contained", 4.5}, {"ink", "resolved", 4.5}, {"ink", "in-review", 4.5}, {"ink", "other", 4.5},
		} {
			a, b := luminance(t, colours[pair.text]), luminance(t, colours[pair.on])
			if got := (max(a, b) + .05) / (min(a, b) + .05); got < pair.least {
				t.Errorf("theme %d: got contrast %.2f of %s on %s, want %.1f", n+1, got, pair.text, pair.on, pair.least)
			}
		}
	}
	if checked != 3 {
		t.Errorf("got %d themes, want light, dark and print", checked)
	}
}
