package store

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// The error class that River stores and logs must not contain text of the error.
func TestErrorClass_OmitsErrorText(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}}
	for want, err := range map[string]error{
		"connection refused":   fmt.Errorf("notify jane@example.com: %w", errors.Join(refused, errors.New("jane"))),
		"unexpected error":     errors.New("jane"),
		"panic":                panicError{"jane"},
		"conflict":             fmt.Errorf("do: %w", incident.Conflict("acknowledged by jane")),
		ErrUnavailable.Error(): fmt.Errorf("read: %w", ErrUnavailable),
	} {
		if got := errorClass(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}

func TestSnoozeDelay_Bounded(t *testing.T) {
	for requested, want := range map[time.Duration]time.Duration{
		math.MinInt64: minSnooze, -time.Second: minSnooze, 0: minSnooze, time.Second: time.Second, 5 * time.Minute: 5 * time.Minute,
		time.Hour: 5 * time.Minute, math.MaxInt64: 5 * time.Minute,
	} {
		if got := snoozeDelay(requested); got != want {
			t.Errorf("%v: got %v, want %v", requested, got, want)
		}
	}
}
