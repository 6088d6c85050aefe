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
		t.Errorf("%q", got)
	}
	p.clear()
	p.clear()
	if got := b.String(); !strings.HasSuffix(got, "%\r\x1b[K") {
		t.Errorf("the bar is not cleared once: %q", got)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if newProgress(file).out != nil || newProgress(&b).out != nil {
		t.Error("a bar is drawn where nobody looks")
	}
	src := strings.NewReader("x")
	if newProgress(file).reader(src) != io.Reader(src) {
		t.Error("reading is counted for nobody")
	}
}

func TestTrailName(t *testing.T) {
	for name, want := range map[string]bool{
		"a.json": true, "a.JSON.GZ": true, "a.ndjson": true, "a.jsonl.gz": true, "a.log": true, "a.gz": true,
		"a.txt": false, "a.csv.gz": false, ".a.json": false, "a": false, "a.tar.gz": false,
	} {
		if isLogFile(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}

func TestOneFaultIsNoPlural(t *testing.T) {
	for refused, want := range map[int]string{0: ", 0 faults\n", 1: ", 1 fault\n", 2: ", 2 faults\n"} {
		var out strings.Builder
		if err := lintText(&out, detect.LoadResult{Refused: make([]detect.RuleError, refused)}); err != nil || !strings.HasSuffix(out.String(), want) {
			t.Errorf("%q, %v", out.String(), err)
		}
	}
}
