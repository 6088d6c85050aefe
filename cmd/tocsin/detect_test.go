package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/bot/detect"
)

func TestProgress(t *testing.T) {
	var b strings.Builder
	p := &progress{out: &b, total: 200}
	if _, err := io.Copy(io.Discard, p.reader(strings.NewReader(strings.Repeat("x", 100)))); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, "[====================                    ]  50 %") {
		t.Errorf("got %q, want a bar at 50 %%", got)
	}
	p.clear()
	p.clear()
	if got := b.String(); !strings.HasSuffix(got, "%\r\x1b[K") {
		t.Errorf("got %q, want the bar cleared once", got)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if newProgress(file).out != nil || newProgress(&b).out != nil {
		t.Error("got a bar without a terminal")
	}
	src := strings.NewReader("x")
	if newProgress(file).reader(src) != io.Reader(src) {
		t.Error("got a counting reader without a terminal")
	}
}

func TestIsLogFile(t *testing.T) {
	for name, want := range map[string]bool{
		"a.json": true, "a.JSON.GZ": true, "a.ndjson": true, "a.jsonl.gz": true, "a.log": true, "a.gz": true,
		"a.txt": false, "a.csv.gz": false, ".a.json": false, "a": false, "a.tar.gz": false,
	} {
		if isLogFile(name) != want {
			t.Errorf("%s: got %t, want %t", name, !want, want)
		}
	}
}

func TestLintText_ErrorCount(t *testing.T) {
	for refused, want := range map[int]string{0: ", 0 errors\n", 1: ", 1 error\n", 2: ", 2 errors\n"} {
		var out strings.Builder
		if err := lintText(&out, detect.LoadResult{Refused: make([]detect.RuleError, refused)}); err != nil || !strings.HasSuffix(out.String(), want) {
			t.Errorf("got %q, %v, want suffix %q", out.String(), err, want)
		}
	}
}
