package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestWholeFile_AppearsComplete writes a file that fails in the middle, and then completely.
func TestWholeFile_AppearsComplete(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	broken := errors.New("the bot stopped")
	for _, want := range []error{broken, nil} {
		err := writeWholeFile(file, func(w io.Writer) error {
			_, err := io.WriteString(w, "entry\n")
			if _, statErr := os.Stat(file); statErr == nil {
				t.Error("the file appeared before it was complete")
			}
			return errors.Join(err, want)
		})
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
		left, err := filepath.Glob(file + "*")
		if err != nil || want != nil && left != nil || want == nil && (len(left) != 1 || left[0] != file) {
			t.Errorf("got files %v, %v after %v", left, err, want)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 6 {
		t.Errorf("got %v, %v, want 6 bytes that only the owner can read", info, err)
	}
}
