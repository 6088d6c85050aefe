package intaketest

import (
	"os"
	"path/filepath"
	"testing"
)

// CorpusEnv is the environment variable that holds the absolute path of the
// recorded corpus: payloads of other publishers, which the repository does not
// contain.
const CorpusEnv = "TOCSIN_TEST_CORPUS"

// maxSeed is the largest file that a fuzz target gets, in bytes.
const maxSeed = 32 << 10

// Payload is a file of test input.
type Payload struct {
	Name string // base name of the file
	Path string
	Body []byte
}

// HasCorpus reports whether the environment variable [CorpusEnv] is set.
func HasCorpus() bool { return os.Getenv(CorpusEnv) != "" }

// Fixtures returns the files that match patterns, which are relative to the
// folder of the test. It fails the test if a pattern matches no file. A fuzz
// target does not get files of more than 32 KiB.
func Fixtures(t testing.TB, patterns ...string) []Payload {
	t.Helper()
	return files(t, ".", patterns)
}

// Corpus returns the files of the recorded corpus that match patterns, which are
// relative to the folder of the corpus. It returns nothing if the environment
// variable [CorpusEnv] is not set. Otherwise it fails the test if a pattern
// matches no file. A fuzz target does not get files of more than 32 KiB.
func Corpus(t testing.TB, patterns ...string) []Payload {
	t.Helper()
	if !HasCorpus() {
		return nil
	}
	return files(t, os.Getenv(CorpusEnv), patterns)
}

// OnBoth runs test with the fixtures as the subtest "fixtures". If the
// environment variable [CorpusEnv] is set, it also runs test with the recorded
// files as the subtest "corpus".
func OnBoth(t *testing.T, fixtures, corpus []string, test func(t *testing.T, payloads []Payload)) {
	t.Helper()
	t.Run("fixtures", func(t *testing.T) { test(t, Fixtures(t, fixtures...)) })
	if HasCorpus() {
		t.Run("corpus", func(t *testing.T) { test(t, Corpus(t, corpus...)) })
	}
}

func files(t testing.TB, dir string, patterns []string) []Payload {
	t.Helper()
	_, fuzzing := t.(*testing.F)
	var out []Payload
	for _, pattern := range patterns {
		pattern = filepath.Join(dir, filepath.FromSlash(pattern))
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatalf("match %s: %v", pattern, err)
		}
		if len(paths) == 0 {
			t.Fatalf("got no file that matches %s, want at least one", pattern)
		}
		for _, path := range paths {
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !fuzzing || len(body) <= maxSeed {
				out = append(out, Payload{Name: filepath.Base(path), Path: path, Body: body})
			}
		}
	}
	return out
}
