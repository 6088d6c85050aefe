package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin/bot/incident"
)

// Problem is why a system does not work. Its text is fixed, apart from names of the
// configuration, codes and numbers.
type Problem struct {
	Cause string // a sentence without its full stop
	Fix   string // an instruction without its full stop
	// IsRefusal reports that the system works, but refuses an operation until an
	// administrator repairs the cause.
	IsRefusal bool
	// ByAnyone reports that any stranger can cause the problem with a few requests. Such a
	// problem causes no page.
	ByAnyone bool
	// Since is when the system stopped working, if the adapter knows. Zero means when
	// the problem was first reported.
	Since time.Time
	Err   error // the details, which may quote other systems, or nil
}

// Error returns the cause and the fix.
func (p *Problem) Error() string { return p.Cause + ". " + p.Fix }

// Unwrap returns the details.
func (p *Problem) Unwrap() error { return p.Err }

// Status returns the problem of a response with an HTTP status that is an error.
func Status(system string, status int, err error) *Problem {
	p := &Problem{Cause: fmt.Sprintf("%s answers with the HTTP status %d", system, status), Fix: "Check the status page of " + system, Err: err}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		p.Fix = "Check the credentials and the permissions in the configuration"
	case status == http.StatusNotFound || status == http.StatusGone:
		p.Fix = "Check the address in the configuration"
	case status == http.StatusProxyAuthRequired:
		p.Fix = "Check the credentials of the proxy"
	case status == http.StatusTooManyRequests:
		p.Cause, p.Fix = system+" limits the rate of requests", "Wait. Tocsin tries again"
	}
	return p
}

// Explain returns the [Problem] in the chain of err, or describes why a request to a
// system failed. It returns nil if err is nil.
func Explain(system string, err error) *Problem {
	var known *Problem
	var blocked *incident.Blocked
	var wait *incident.RetryAfter
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.As(err, &blocked):
		return &Problem{Cause: capitalize(blocked.Cause.String()), Fix: capitalize(blocked.Fix.String()), IsRefusal: true, Err: err}
	case errors.As(err, &wait):
		return Status(system, http.StatusTooManyRequests, err)
	}
	cause, fix := explain(err)
	return &Problem{Cause: system + " " + cause, Fix: fix, Err: err}
}

func capitalize(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

// explain returns the cause of a failed connection, as the end of a sentence.
func explain(err error) (cause, fix string) {
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return "cannot be found: its host name has no address", "Check the host name in the configuration and the DNS server"
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "cannot be reached through the proxy", "Check HTTPS_PROXY and the proxy"
	case isCertificate(err):
		return "has no valid certificate", "Check the certificate of the server, the host name in the configuration and the clock"
	case isTLS(err):
		return "does not speak TLS as configured", "Check the port and the TLS setting"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return "does not answer in time", "Check the network, the firewall and the status page"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refuses connections", "Check that the server runs, and the host and port in the configuration"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "cannot be reached", "Check the network and the firewall"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closes the connection", "Check the network and the status page"
	}
	return "does not work", "Read the log for the cause"
}

func isCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid)
}

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &record) || errors.As(err, &alert)
}
