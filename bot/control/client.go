package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"tocsin/bot/incident"
)

// Client sends requests to the control socket of a running bot. It is safe for
// concurrent use.
type Client struct {
	http *http.Client
	// OnSlow is called, if not nil, when the bot takes longer than 3 seconds to answer.
	OnSlow    func()
	slowAfter time.Duration
}

// NewClient returns a client for the socket at path. It connects on the first
// request.
func NewClient(path string) *Client {
	return &Client{slowAfter: 3 * time.Second, http: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}}}
}

// Do posts a request to an endpoint, such as "incident", "verify" or "rotate",
// and decodes the reply into out. It returns an [*incident.Error] if the bot
// rejects the request, [ErrNotRunning] if no process listens on the socket, and
// [ErrDenied] if the user may not connect.
func (c *Client) Do(ctx context.Context, endpoint string, ask Request, out any) error {
	res, err := c.post(ctx, endpoint, ask)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	return json.NewDecoder(res.Body).Decode(out)
}

// post returns the response if its status is 200, and an error otherwise. The
// caller must close the body.
func (c *Client) post(ctx context.Context, endpoint string, ask Request) (*http.Response, error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tocsin/"+endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.OnSlow != nil {
		defer time.AfterFunc(c.slowAfter, c.OnSlow).Stop()
	}
	res, err := c.http.Do(req)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if errors.Is(err, os.ErrPermission) {
		return nil, ErrDenied
	}
	if err != nil {
		return nil, fmt.Errorf("send request to the running bot: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	var reply struct {
		Error *incident.Error `json:"error"`
	}
	if err := json.NewDecoder(res.Body).Decode(&reply); err != nil || reply.Error == nil {
		return nil, fmt.Errorf("send request to the running bot: status %d", res.StatusCode)
	}
	return nil, reply.Error
}

// ErrDenied reports that the user may not connect to the control socket.
var ErrDenied = errors.New("you may not connect to this control socket, and nothing was sent. Ask an administrator to add you to the group control_socket_group, then log in again")

// ErrNotRunning reports that no bot listens on the control socket.
var ErrNotRunning = errors.New("no bot is running on this control socket. Start `tocsin serve` first")
