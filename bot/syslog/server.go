package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// Server is a syslog server.
type Server struct {
	network, address string
}

// Open returns the server at an address: udp://HOST:PORT, tcp://HOST:PORT or unix:PATH.
// It does not connect.
func Open(address string) (*Server, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path = strings.TrimPrefix(path, "//"); !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("%q has no absolute path. Write unix:///dev/log", address)
		}
		return &Server{"unix", path}, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "udp" && u.Scheme != "tcp" || u.Hostname() == "" || u.Port() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is not the address of a syslog server. Write udp://HOST:514, tcp://HOST:601 or unix:///dev/log", address)
	}
	return &Server{u.Scheme, u.Host}, nil
}

// sendTimeout limits one message.
const sendTimeout = 10 * time.Second

// Send sends a message over a new connection. A message to a datagram socket is one
// datagram. On a stream its length is before it, as RFC 6587 describes. A message over
// UDP can be lost without an error.
func (s *Server) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	var dialer net.Dialer
	network := s.network
	if network == "unix" {
		network = "unixgram"
	}
	conn, err := dialer.DialContext(ctx, network, s.address)
	if err != nil && network == "unixgram" { // some servers listen on a stream
		var stream error
		if conn, stream = dialer.DialContext(ctx, "unix", s.address); stream == nil {
			network, err = "unix", nil
		}
	}
	if err != nil {
		return fmt.Errorf("connect to syslog: %w", err)
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // fails only for a closed connection
	text := m.String()
	if network == "tcp" || network == "unix" {
		text = fmt.Sprintf("%d %s", len(text), text)
	}
	_, err = conn.Write([]byte(text))
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("send to syslog: %w", err)
	}
	return nil
}
