package store

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"tocsin/bot/incident"
)

// What River keeps and logs of a failure helps an operator and quotes nobody.
func TestReasonsQuoteNobody(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}}
	for want, err := range map[string]error{
		"connection refused":   fmt.Errorf("tell jane@example.com: %w", errors.Join(refused, errors.New("jane"))),
		"*net.DNSError":        fmt.Errorf("page: %w", errors.Join(fmt.Errorf("first: %w", &net.DNSError{Name: "jane.example.com"}), errors.New("second"))),
		"*errors.errorString":  errors.New("jane"),
		"panic":                panicked{"jane"},
		"conflict":             fmt.Errorf("do: %w", incident.Conflict("jane has it")),
		ErrUnavailable.Error(): fmt.Errorf("read: %w", ErrUnavailable),
	} {
		if got := errorClass(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
