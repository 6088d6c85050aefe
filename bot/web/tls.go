package web

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"tocsin/bot/health"
)

const (
	certificateInterval = 10 * time.Second    // between two looks at the files
	certificateWarning  = 14 * 24 * time.Hour // before the certificate expires
)

// Certificate is the certificate of the public listener. It reads its files again when they
// change. If the new files cannot be used, the old certificate stays in force. It is safe for
// concurrent use.
type Certificate struct {
	files TLS
	now   func() time.Time
	log   *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	stamp   string // sizes and times of the files that were read last
	current *tls.Certificate
	err     error // of the files that were read last
}

// OpenCertificate reads the files of a certificate.
func OpenCertificate(files TLS, now func() time.Time, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{files: files, now: now, log: log.With("component", "web")}
	c.refresh()
	if c.current == nil {
		return nil, fmt.Errorf("tls: %w", c.err)
	}
	return c, nil
}

// Config returns the configuration of the listener.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.now().Sub(c.looked) >= certificateInterval {
			c.refresh()
		}
		return c.current, nil
	}}
}

// refresh reads the files if they changed. The caller must hold mu.
func (c *Certificate) refresh() {
	c.looked = c.now()
	stamp, err := c.stampOf()
	if err == nil && stamp == c.stamp {
		return
	}
	var next tls.Certificate
	if err == nil {
		next, err = tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	}
	c.err = err
	if err != nil {
		c.log.Error("read certificate failed", "err", err)
		return
	}
	c.current, c.stamp = &next, stamp
	c.log.Info("certificate loaded", "expires", next.Leaf.NotAfter.UTC().Format(time.RFC3339))
}

// stampOf returns a text that changes with the files.
func (c *Certificate) stampOf() (string, error) {
	cert, err := os.Stat(c.files.Cert)
	key, keyErr := os.Stat(c.files.Key)
	if err = errors.Join(err, keyErr); err != nil {
		return "", err
	}
	return fmt.Sprint(cert.Size(), cert.ModTime().UnixNano(), key.Size(), key.ModTime().UnixNano()), nil
}

// Check returns the problem of the certificate, or nil.
func (c *Certificate) Check(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.looked) >= certificateInterval {
		c.refresh()
	}
	expires := c.current.Leaf.NotAfter
	switch {
	case c.err != nil:
		return &health.Problem{Cause: "The new files of the TLS certificate cannot be used", Err: c.err, Fix: "Write a certificate and its key in PEM into the files of tls. The old certificate stays in force until then"}
	case now.After(expires):
		return &health.Problem{Since: expires, Cause: "The TLS certificate has expired", Fix: "Renew it and write it into the files of tls. No restart is necessary"}
	case expires.Sub(now) < certificateWarning:
		return &health.Problem{Cause: "The TLS certificate expires on " + expires.UTC().Format(time.DateOnly), Fix: "Renew it and write it into the files of tls. No restart is necessary"}
	}
	return nil
}
