//go:build linux

package redact_test

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/redact"
)

// Each unit tries to make a rule scan its input several times.
func TestText_LinearTime(t *testing.T) {
	r := redact.New(redact.Options{Literals: []string{"aab", "Ann"}})
	for _, unit := range []string{
		"1", "1 ", "4111 ", "0612", "+1", "(", "a", "a@", "@", "a.", "a@b.c", "token:", "token: a", "password=", "password='", "password=\\\"", `password="`,
		"authorization:", "authorization: bearer ", "cookie:", "://", "://a:", "http://a@", "eyJ-", "eyJaaaaa.", "xoxb-", "sk-a", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----",
		"%25", "%2525", "%40", "&#", "\\u0040", "[at]", "[email]", "\u200b", "é", "arn:", "<password>", "bearer a", "--token ", "password is ", "FR14 ", "1 85 05 ", "hooks.slack.com/a/",
		"\"a\"@", "a'", "a!b", "ssn 1", "passport ", "1 85 05 78 ", "password: a ", "password is a ", "12 34 06 12 34 56 78 ", "aa", "Ann", "phone 1", "pass,a", "\"token\",", "[\"token\",\"",
	} {
		small, large := cpuTime(t, r, strings.Repeat(unit, 1<<13/len(unit))), cpuTime(t, r, strings.Repeat(unit, 1<<16/len(unit)))
		// The text is 8 times as long. Quadratic time would be 64 times as long.
		if large > 30*small && large > 200*time.Millisecond {
			t.Errorf("%q: got %v for 8 KiB and %v for 64 KiB, want linear time", unit, small, large)
		}
	}
}

// cpuTime returns the work of a redaction: the time that its thread had a processor. Other
// processes and threads of a busy machine do not count.
func cpuTime(t *testing.T, r *redact.Redactor, text string) time.Duration {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	best := time.Hour
	for range 3 {
		start := used()
		r.Text(text)
		best = min(best, used()-start)
	}
	return best
}
