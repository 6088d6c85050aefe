package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/web"
)

// writeCertificate writes a certificate with a name and its key.
func writeCertificate(t *testing.T, files web.TLS, name string, expires time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: expires.Add(-90 * 24 * time.Hour), NotAfter: expires}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: cert}, files.Key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCertificate_Reload replaces the files of a certificate while a listener uses it.
func TestCertificate_Reload(t *testing.T) {
	dir, now := t.TempDir(), time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	files := web.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if _, err := web.OpenCertificate(files, time.Now, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no files: got no error, want one")
	}
	writeCertificate(t, files, "first", now.Add(60*24*time.Hour))
	c, err := web.OpenCertificate(files, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			_ = conn.Close()
		}
	}()
	name := func() string {
		conn, err := new(tls.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err == nil {
			_ = conn.Close()
			return ""
		}
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		conn, err = dialer.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "first" || c.Check(now) != nil {
		t.Errorf("got %q, %v, want the first certificate", got, c.Check(now))
	}
	writeCertificate(t, files, "second-certificate", now.Add(10*24*time.Hour))
	now = now.Add(time.Minute)
	if got := name(); got != "second-certificate" {
		t.Errorf("got %q, want the second certificate", got)
	}
	if err := c.Check(now); err == nil || !strings.Contains(err.Error(), "expires on 2026-11-30") {
		t.Errorf("got %v, want that it expires soon", err)
	}
	if err := c.Check(now.Add(11 * 24 * time.Hour)); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("got %v, want that it has expired", err)
	}
	if err := os.WriteFile(files.Key, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if got := name(); got != "second-certificate" {
		t.Errorf("damaged key: got %q, want the second certificate", got)
	}
	if err := c.Check(now); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("damaged key: got %v, want a problem", err)
	}
}
