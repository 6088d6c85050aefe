package bot_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bomb is a small body that is expensive to decode without limits.
type bomb struct {
	name    string
	source  string // name of the source that decodes it
	private string // armored private key of the source report
	body    []byte
	header  http.Header
	omitted string // text of the alert about what was left out
}

func allBombs(t testing.TB, bits int) []bomb {
	t.Helper()
	return append(newMailBombs(t, bits).bombs(), hookBombs()...)
}

// usage is the cost of receiving and decoding one body.
type usage struct {
	CPU     time.Duration
	PeakMiB float64
}

// bombEnv is the environment variable with the folder of the bomb for a child process.
const bombEnv = "TOCSIN_TEST_BOMB"

// TestBombProcess is the child process of [BenchmarkBombs]. It decodes one bomb and
// writes the cost to the standard output.
func TestBombProcess(t *testing.T) {
	dir := os.Getenv(bombEnv)
	if dir == "" {
		return // an ordinary run
	}
	read := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	b := bomb{source: string(read("source")), private: string(read("private")), body: read("body")}
	if err := json.Unmarshal(read("header"), &b.header); err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory()
	before, began := peakMemory(t, true), cpuTime()
	b.receive(t)
	u := usage{CPU: cpuTime() - began, PeakMiB: float64(peakMemory(t, false)-before) / (1 << 20)}
	raw, _ := json.Marshal(u)
	fmt.Printf("\nusage %s\n", raw)
}

// peakMemory returns the maximum of the resident memory. With reset, it first forgets
// earlier maxima.
func peakMemory(t testing.TB, reset bool) int64 {
	if reset {
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
			t.Logf("reset peak memory: %v", err)
		}
	}
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkBombs reports the CPU time and the peak memory of decoding each bomb in a
// process of its own. The goals are 1 s and 64 MiB.
func BenchmarkBombs(b *testing.B) {
	for _, bomb := range allBombs(b, 4096) {
		b.Run(strings.ReplaceAll(bomb.name, " ", "_"), func(b *testing.B) {
			dir := b.TempDir()
			header, _ := json.Marshal(bomb.header)
			for name, content := range map[string][]byte{"source": []byte(bomb.source), "private": []byte(bomb.private), "body": bomb.body, "header": header} {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				cmd := exec.Command(os.Args[0], "-test.run=^TestBombProcess$")
				cmd.Env = append(os.Environ(), bombEnv+"="+dir)
				out, err := cmd.Output()
				_, line, ok := strings.Cut(string(out), "\nusage ")
				var u usage
				if !ok || err != nil || json.Unmarshal([]byte(strings.SplitN(line, "\n", 2)[0]), &u) != nil {
					b.Fatalf("child process: %v\n%s", err, out)
				}
				b.ReportMetric(float64(u.CPU.Milliseconds()), "cpu-ms")
				b.ReportMetric(u.PeakMiB, "peak-MiB")
				b.ReportMetric(float64(len(bomb.body))/1024, "KiB")
			}
		})
	}
}

// maxBombSignals is the largest number of signals that a source reads of one delivery.
const maxBombSignals = 2001

// TestBombs_OmissionsAreStated decodes each bomb. The alert must be raised, and it must
// state what was left out.
func TestBombs_OmissionsAreStated(t *testing.T) {
	for _, b := range allBombs(t, 2048) {
		t.Run(b.name, func(t *testing.T) {
			signals := b.receive(t).signals
			if len(signals) == 0 || len(signals) > maxBombSignals {
				t.Fatalf("got %d signals, want 1 to %d", len(signals), maxBombSignals)
			}
			found := b.omitted == ""
			for _, s := range signals {
				found = found || s.Alert != nil && strings.Contains(s.Alert.Detail[:min(len(s.Alert.Detail), 8<<10)], b.omitted)
			}
			if !found {
				t.Errorf("got %.3000s\nwant an alert with %q in the first 8 KiB", fmt.Sprintf("%+v", signals[0].Alert), b.omitted)
			}
		})
	}
}
