package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/intake"
	"tocsin/bot/outbound"
)

// useSocketHint names the way that works for every source.
const useSocketHint = "send them to the control socket of the other instance with --to unix:PATH (ssh -L can forward it)"

// remoteInstance is another instance of Tocsin, reached over HTTP.
type remoteInstance struct {
	hooks   *url.URL
	client  *http.Client
	sources []config.Source
	secrets map[string]string
	asNew   bool
}

// newInstanceSink returns a sink that posts deliveries to another instance. It posts
// one after the other to preserve their order, and retries after Retry-After. Its
// write returns an error for the first delivery that is rejected.
func newInstanceSink(ctx context.Context, to string, given []string, sources config.Sources, asNew bool) (sink, error) {
	base, err := url.Parse(to)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return sink{}, errors.New("invalid --to. Write the URL of an instance, such as https://tocsin.example.com, or its control socket, such as unix:/run/tocsin.sock")
	}
	if base.Scheme == "http" && !isLoopback(base.Hostname()) {
		return sink{}, fmt.Errorf("--to %s: alerts and their secrets must not be sent in the clear. Write https://, or use the control socket with --to unix:PATH", base.Redacted())
	}
	i := remoteInstance{hooks: base.JoinPath("hooks"), sources: sources.All(), secrets: map[string]string{}, asNew: asNew,
		client: outbound.NewClient(30*time.Second, outbound.Limits{})}
	i.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, s := range given {
		source, secret, ok := strings.Cut(s, "=")
		if !ok || secret == "" {
			return sink{}, errors.New("invalid --secret. Write SOURCE=SECRET")
		}
		if _, err := i.poster(source); err != nil {
			return sink{}, fmt.Errorf("--secret: %w", err)
		}
		i.secrets[source] = secret
	}
	return sink{close: func(bool) error { return nil }, write: func(d control.Recorded) error { return i.send(ctx, d) }}, nil
}

// isLoopback reports whether traffic to host stays on this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// poster returns how deliveries of a source are signed, or an error if they cannot be
// posted. Configurable headers and schemes are those of this configuration, on the
// assumption that the other instance has the same values.
func (i *remoteInstance) poster(source string) (intake.Poster, error) {
	var known []string
	for _, s := range i.sources {
		switch {
		case s.Name == source && s.Post.Sign == nil:
			return s.Post, fmt.Errorf("deliveries of %s cannot be posted: %s; %s", source, s.Post.Refusal, useSocketHint)
		case s.Name == source:
			return s.Post, nil
		case s.Post.Sign != nil:
			known = append(known, s.Name)
		}
	}
	slices.Sort(known)
	return intake.Poster{}, fmt.Errorf("source %s is not in this configuration (known: %s): add it under sources.generic, or %s",
		source, strings.Join(known, ", "), useSocketHint)
}

func (i *remoteInstance) send(ctx context.Context, d control.Recorded) error {
	poster, err := i.poster(d.Source)
	if err != nil {
		return err
	}
	secret, ok := i.secrets[d.Source]
	if !ok {
		return fmt.Errorf("missing --secret %s=… (a secret that the other instance has for this source)", d.Source)
	}
	id := d.ID
	if i.asNew {
		if !poster.KeepsID {
			return fmt.Errorf("--as-new has no effect for %s, because its endpoint deduplicates by body; %s", d.Source, useSocketHint)
		}
		id += "#" + rand.Text()
	}
	for tries := 0; ; tries++ {
		wait, err := i.post(ctx, poster, secret, id, d)
		if err == nil || wait == 0 || tries == 5 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// post sends one delivery. If a retry makes sense, wait is the time until then, and
// otherwise 0.
func (i *remoteInstance) post(ctx context.Context, poster intake.Poster, secret, id string, d control.Recorded) (wait time.Duration, err error) {
	target := i.hooks.JoinPath(d.Source).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(d.Body))
	if err != nil {
		return 0, fmt.Errorf("--to: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range d.Header {
		req.Header.Set(name, value)
	}
	poster.Sign(req.Header, secret, id, d.Body)
	res, err := i.client.Do(req)
	if err != nil {
		return 2 * time.Second, fmt.Errorf("post to %s: %w", target, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusAccepted {
		return 0, nil
	}
	text, _ := io.ReadAll(io.LimitReader(res.Body, 2048))
	err = fmt.Errorf("%s answered %d: %s", target, res.StatusCode, bytes.TrimSpace(text))
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode < 500 {
		return 0, err
	}
	if wait, ok := outbound.ParseRetryAfter(res.Header.Get("Retry-After"), time.Now()); ok && wait > 0 {
		return wait, err
	}
	return 5 * time.Second, err
}
