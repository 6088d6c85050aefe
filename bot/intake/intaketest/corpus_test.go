package intaketest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tocsin/bot/intake/intaketest"
)

// failure records the first Fatalf of a test that has to fail.
type failure struct {
	testing.TB
	text string
}

func (f *failure) Helper() {}

func (f *failure) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failing runs read and returns the text that it fails with.
func failing(t *testing.T, read func(t testing.TB)) string {
	f := &failure{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		read(f)
	}()
	<-done
	return f.text
}

func TestCorpus_PatternWithoutFileFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(intaketest.CorpusEnv, dir)
	if got := intaketest.Corpus(t, "*.json"); len(got) != 1 || got[0].Name != "a.json" || string(got[0].Body) != "{}" {
		t.Errorf("got %+v, want the file a.json", got)
	}
	got := failing(t, func(t testing.TB) { intaketest.Corpus(t, "*.json", "absent/*.json") })
	if want := filepath.Join(dir, "absent", "*.json"); !strings.Contains(got, want) {
		t.Errorf("got failure %q, want one that names %s", got, want)
	}
}

func TestCorpus_NothingIfUnset(t *testing.T) {
	t.Setenv(intaketest.CorpusEnv, "")
	if got := intaketest.Corpus(t, "absent/*.json"); got != nil || intaketest.HasCorpus() {
		t.Errorf("got %+v, want nothing", got)
	}
}

func TestFixtures_PatternWithoutFileFails(t *testing.T) {
	if got := failing(t, func(t testing.TB) { intaketest.Fixtures(t, "testdata/absent.json") }); !strings.Contains(got, "absent.json") {
		t.Errorf("got failure %q, want one that names absent.json", got)
	}
}

func TestOnBoth_CorpusOnlyIfSet(t *testing.T) {
	for dir, want := range map[string]int{"": 1, ".": 2} {
		t.Setenv(intaketest.CorpusEnv, dir)
		runs := 0
		intaketest.OnBoth(t, []string{"*.go"}, []string{"*.go"}, func(*testing.T, []intaketest.Payload) { runs++ })
		if runs != want {
			t.Errorf("corpus %q: got %d runs, want %d", dir, runs, want)
		}
	}
}
