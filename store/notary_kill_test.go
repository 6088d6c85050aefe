package store

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/store/storetest"
)

// killedURL is an environment variable of the process that TestRecordChanges_SurvivesKill kills. The keyset is in its
// working directory.
const killedURL = "TOCSIN_TEST_NOTARY_URL"

// recordUntilKilled works and records without end.
func recordUntilKilled(t *testing.T, url string) {
	keys, err := LoadKeyset("keyset")
	if err != nil {
		t.Fatal(err)
	}
	s := openTest(t, url, func(c *testConfig) { c.Keyset = keys })
	for {
		s.openIncident(t, "incident")
		if _, err := s.RecordChanges(t.Context()); err != nil {
			t.Fatal(err)
		}
		fmt.Println("recorded")
	}
}

// TestRecordChanges_SurvivesKill kills a process at different moments of its steps. The log must go on, without a lost or a
// repeated change.
func TestRecordChanges_SurvivesKill(t *testing.T) {
	if url := os.Getenv(killedURL); url != "" { // this is the process that is killed
		recordUntilKilled(t, url)
	}
	storetest.Databases(t, func(t *testing.T, url string) {
		path := filepath.Join(t.TempDir(), "keyset")
		if err := CreateKeyset(path); err != nil {
			t.Fatal(err)
		}
		keys, err := LoadKeyset(path)
		if err != nil {
			t.Fatal(err)
		}
		for round := range 6 {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRecordChanges_SurvivesKill$", "-test.v")
			cmd.Dir, cmd.Env = filepath.Dir(path), append(os.Environ(), killedURL+"="+url)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if strings.Contains(lines.Text(), "recorded") {
					break
				}
			}
			<-time.After(time.Duration(round*3) * time.Millisecond) // another moment each time
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
		}
		s := openTest(t, url, func(c *testConfig) { c.Keyset = keys })
		s.mustVerify(t, "after the kills")
		c := s.record(t)
		s.mustVerify(t, "recorded after the kills", c)
		ids := s.loggedIDs(t, subjectIncidents)
		slices.Sort(ids)
		if rows := s.count(t, "SELECT count(*) FROM incidents"); int64(len(ids)) != rows || rows < 6 || len(slices.Compact(ids)) != int(rows) {
			t.Errorf("got %d incidents in the log, want each of %d once", len(ids), rows)
		}
	})
}
