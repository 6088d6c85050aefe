package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProcessTests_WithoutRaceDetector requires the build constraint of each file of the
// package main_test, whose tests start the bot as a separate process: see .ci/run.
func TestProcessTests_WithoutRaceDetector(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, %v", files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		isExternal := strings.Contains("\n"+string(text), "\npackage main_test\n")
		if isExternal && !strings.HasPrefix(string(text), "//go:build !race\n\n") {
			t.Errorf("%s begins without //go:build !race. Write it above the package clause", path)
		}
	}
}
