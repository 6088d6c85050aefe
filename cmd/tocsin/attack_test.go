//go:build !race

package main_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
)

// attackTime is how long each attack of TestAttacks lasts. The script .ci/attack
// sets a longer time.
var attackTime = flag.Duration("tocsin.attack", 2*time.Second, "duration of each attack")

// alertInterval is the interval between the genuine alerts beside an attack.
const alertInterval = 100 * time.Millisecond

// attack is something that a stranger or a user without rights can do to stop the
// bot. To add one, add it to the list of attacks.
type attack struct {
	name    string
	prepare func(a *arena)                      // changes the bot before genuine alerts are sent, or nil
	run     func(ctx context.Context, a *arena) // attacks until ctx ends or it has nothing left to do
}

// arena is a bot that is attacked and at the same time receives genuine alerts.
type arena struct {
	*botProcess
	imap    *imapServer
	address string // host:port of the bot
}

// attackResult is one row of the table.
type attackResult struct {
	name           string
	sent, accepted int
	counted        int // alerts in incidents at the end
	took           []time.Duration
	peak           int // KiB
	failures       []string
}

func (r attackResult) String() string {
	slices.Sort(r.took)
	p50, p99 := time.Duration(0), time.Duration(0)
	if len(r.took) > 0 {
		p50, p99 = quantile(r.took, .5), quantile(r.took, .99)
	}
	verdict := "nothing lost"
	if len(r.failures) > 0 {
		verdict = strings.Join(r.failures, ", ")
	}
	return fmt.Sprintf("%-34s %6d %6d %8d %9v %9v %6d MiB  %s", r.name, r.sent, r.accepted, r.counted, p50, p99, r.peak>>10, verdict)
}

// TestAttacks attacks the bot in a separate process, in one way after the other.
// Beside each attack, Sentry sends an alert every 100 ms, each on a new connection.
// Every alert must be answered 2xx and counted, and the bot must survive. The test
// prints the response times and the peak memory but does not judge them.
func TestAttacks(t *testing.T) {
	if testing.Short() {
		*attackTime = min(*attackTime, 500*time.Millisecond)
	}
	var rows []string
	for _, one := range attacks() {
		t.Run(one.name, func(t *testing.T) {
			r := runAttack(t, one)
			rows = append(rows, r.String())
			for _, f := range r.failures {
				t.Error(f)
			}
		})
	}
	fmt.Printf("%-34s %6s %6s %8s %9s %9s %10s\n%s\n", "attack", "alerts", "2xx", "counted", "p50", "p99", "peak", strings.Join(rows, "\n"))
}

// runAttack starts a bot, attacks it and compares the alerts that were sent with
// those that the bot counts.
func runAttack(t *testing.T, one attack) attackResult {
	a := startArena(t)
	if one.prepare != nil {
		one.prepare(a)
	}
	proc := a.current()
	pid := proc.cmd.Process.Pid
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) // resets VmHWM
	ctx, stop := context.WithTimeout(t.Context(), *attackTime)
	defer stop()
	r := attackResult{name: one.name}
	var attackers sync.WaitGroup
	attackers.Go(func() { one.run(ctx, a) })
	a.sendAlerts(ctx, &r)
	attackers.Wait()
	r.peak = peakKiB(pid)
	counted := func() int { return a.queryInt("SELECT coalesce(sum(count), 0) FROM alerts WHERE source = 'sentry'") }
	eventually(20*time.Second, func() bool { r.counted = counted(); return r.counted >= r.accepted })
	select {
	case <-proc.ended:
		r.failures = append(r.failures, fmt.Sprintf("bot died: %v", proc.err))
	default:
		if !eventually(10*time.Second, func() bool { status, _ := a.httpGet("/readyz"); return status == http.StatusOK }) {
			r.failures = append(r.failures, "bot is not ready")
		}
	}
	if lost := r.sent - r.accepted; lost > 0 {
		r.failures = append(r.failures, fmt.Sprintf("%d alerts not answered 2xx", lost))
	}
	if r.counted != r.accepted {
		r.failures = append(r.failures, fmt.Sprintf("%d alerts answered 2xx, %d counted", r.accepted, r.counted))
	}
	return r
}

// startArena starts a bot with every endpoint enabled.
func startArena(t *testing.T) *arena {
	box := newIMAPServer(t)
	key := filepath.Join(t.TempDir(), "key.asc")
	if err := os.WriteFile(key, []byte(pgpKey(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startBot(t, "sqlite:"+filepath.Join(t.TempDir(), "tocsin.db"), company.Options{Seed: 8, HTTP: true, Limits: chat.Limits{Off: true}}, func(c map[string]any) {
		const token = "0123456789abcdef-token"
		sources := c["sources"].(map[string]any)
		sources["alertmanager"] = map[string]any{"tokens": []string{token}}
		sources["hackerone"] = map[string]any{"secrets": []string{token}}
		sources["generic"] = []any{map[string]any{"name": "siem", "tokens": []string{token}, "mapping": map[string]any{"title": "body.title"}}}
		sources["sns"] = map[string]any{"topics": []string{"arn:aws:sns:eu-west-3:123456789012:security-events"}}
		sources["report"] = map[string]any{"form": map[string]any{"company": "Payroll"}, "pgp_keys": []any{map[string]any{"file": key}},
			"mailbox": map[string]any{"address": box.addr, "tls": "none", "username": "username", "password": "password", "poll": "1s"}}
	})
	return &arena{s, box, strings.TrimPrefix(s.url, "http://")}
}

// sendAlerts sends an alert every alertInterval until ctx ends, and waits for the
// responses.
func (a *arena) sendAlerts(ctx context.Context, r *attackResult) {
	sentry := a.company.Sentry
	sentry.Client, sentry.Timeout = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, 10*time.Second
	issue := feed.NewIssue(feed.DataLeak, 1)
	var mu sync.Mutex
	var waiting sync.WaitGroup
	tick := time.NewTicker(alertInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		r.sent++
		n := r.sent
		waiting.Go(func() {
			answer, err := sentry.EventAlert(context.Background(), issue, feed.Copy{N: n, PadKB: 7}) //nolint:contextcheck // outlives the attack
			mu.Lock()
			defer mu.Unlock()
			r.took = append(r.took, answer.Took)
			if err == nil && answer.Status/100 == 2 {
				r.accepted++
			}
		})
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	waiting.Wait()
}

var peakPattern = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakKiB returns the peak memory of a process since it was reset, or 0 if the
// process has ended.
func peakKiB(pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if m := peakPattern.FindSubmatch(raw); err == nil && m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	return 0
}

// restartWithLog starts the bot again, with its log in a pipe. It returns the end
// that reads.
func (a *arena) restartWithLog() *os.File {
	in, out, err := os.Pipe()
	if err != nil {
		a.t.Fatal(err)
	}
	a.stop()
	log := a.log
	a.log = out
	p := a.startProcess()
	a.log = log
	_ = out.Close()
	if !eventually(30*time.Second, func() bool { status, _ := a.httpGet("/readyz"); return status == http.StatusOK }) {
		a.t.Fatal(errors.Join(errors.New("bot is not ready"), p.err))
	}
	return in
}
