package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin/bot"
	"tocsin/bot/control"
	"tocsin/bot/outbound"
)

// signer signs deliveries as their source does. Another instance then accepts them
// at its ordinary endpoint.
type signer struct {
	addSignature func(h http.Header, secret, id string, body []byte)
	// hasDeliveryID reports whether the endpoint reads the id of a delivery from a
	// header. If not, it derives the id from the body.
	hasDeliveryID bool
}

// unsignable lists the sources whose deliveries cannot be posted by Tocsin, with
// the reason.
var unsignable = map[string]string{
	"sns":    "only AWS can sign them",
	"trail":  "the reader of the trail produces them, and no endpoint accepts them",
	"report": "they arrive by form and mail, and no endpoint accepts them signed",
}

// signers returns the signer of each source. Configurable headers and schemes are
// taken from c, on the assumption that the other instance has the same values.
func signers(c bot.Sources) map[string]signer {
	out := map[string]signer{
		"sentry": {addSignature: func(h http.Header, secret, _ string, body []byte) {
			h.Set("Sentry-Hook-Signature", signature(secret, body))
		}},
		"pagerduty": {addSignature: func(h http.Header, secret, _ string, body []byte) {
			h.Set("X-PagerDuty-Signature", "v1="+signature(secret, body))
		}},
		"hackerone": {addSignature: func(h http.Header, secret, _ string, body []byte) {
			h.Set("X-H1-Signature", "sha256="+signature(secret, body))
		}},
		"cloudtrail": {addSignature: func(h http.Header, secret, _ string, _ []byte) {
			h.Set(cmp.Or(c.CloudTrail.Header, "X-Api-Key"), secret)
		}},
		"alertmanager": {addSignature: func(h http.Header, secret, _ string, _ []byte) {
			if user, password, pair := strings.Cut(secret, ":"); pair && len(c.Alertmanager.Basic) > 0 && len(c.Alertmanager.Tokens) == 0 {
				h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
				return
			}
			bearer(h, secret)
		}},
	}
	for _, g := range c.Generic {
		out[cmp.Or(g.Name, "generic")] = signer{hasDeliveryID: g.DeliveryHeader != "" && len(g.HMAC.Secrets) == 0, addSignature: func(h http.Header, secret, id string, body []byte) {
			if len(g.HMAC.Secrets) > 0 {
				h.Set(cmp.Or(g.HMAC.Header, "X-Signature-256"), g.HMAC.Prefix+signature(secret, body))
			} else {
				bearer(h, secret)
			}
			if g.DeliveryHeader != "" && id != "" {
				h.Set(g.DeliveryHeader, id)
			}
		}}
	}
	return out
}

func bearer(h http.Header, secret string) { h.Set("Authorization", "Bearer "+secret) }

func signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// useSocketHint names the way that works for every source.
const useSocketHint = "send them to the control socket of the other instance with --to unix:PATH (ssh -L can forward it)"

// remoteInstance is another instance of Tocsin, reached over HTTP.
type remoteInstance struct {
	hooks   *url.URL
	client  *http.Client
	signers map[string]signer
	secrets map[string]string
	asNew   bool
}

// newInstanceSink returns a sink that posts deliveries to another instance. It posts
// one after the other to preserve their order, and retries after Retry-After. Its
// write returns an error for the first delivery that is rejected.
func newInstanceSink(ctx context.Context, to string, given []string, sources bot.Sources, asNew bool) (sink, error) {
	base, err := url.Parse(to)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return sink{}, errors.New("invalid --to. Write the URL of an instance, such as https://tocsin.example.com, or its control socket, such as unix:/run/tocsin.sock")
	}
	if base.Scheme == "http" && !isLoopback(base.Hostname()) {
		return sink{}, fmt.Errorf("--to %s: alerts and their secrets must not be sent in the clear. Write https://, or use the control socket with --to unix:PATH", base.Redacted())
	}
	i := remoteInstance{hooks: base.JoinPath("hooks"), signers: signers(sources), secrets: map[string]string{}, asNew: asNew,
		client: outbound.NewClient(30*time.Second, outbound.Limits{})}
	i.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, s := range given {
		source, secret, ok := strings.Cut(s, "=")
		if !ok || secret == "" {
			return sink{}, errors.New("invalid --secret. Write SOURCE=SECRET")
		}
		if err := i.checkSource(source); err != nil {
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

// checkSource returns an error if deliveries of source cannot be posted.
func (i *remoteInstance) checkSource(source string) error {
	if why, ok := unsignable[source]; ok {
		return fmt.Errorf("deliveries of %s cannot be posted: %s; %s", source, why, useSocketHint)
	}
	if _, ok := i.signers[source]; !ok {
		return fmt.Errorf("source %s is not in this configuration (known: %s): add it under sources.generic, or %s",
			source, strings.Join(slices.Sorted(maps.Keys(i.signers)), ", "), useSocketHint)
	}
	return nil
}

func (i *remoteInstance) send(ctx context.Context, d control.Recorded) error {
	if err := i.checkSource(d.Source); err != nil {
		return err
	}
	secret, ok := i.secrets[d.Source]
	if !ok {
		return fmt.Errorf("missing --secret %s=… (a secret that the other instance has for this source)", d.Source)
	}
	id := d.ID
	if i.asNew {
		if !i.signers[d.Source].hasDeliveryID {
			return fmt.Errorf("--as-new has no effect for %s, because its endpoint deduplicates by body; %s", d.Source, useSocketHint)
		}
		id += "#" + rand.Text()
	}
	for tries := 0; ; tries++ {
		wait, err := i.post(ctx, secret, id, d)
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
func (i *remoteInstance) post(ctx context.Context, secret, id string, d control.Recorded) (wait time.Duration, err error) {
	target := i.hooks.JoinPath(d.Source).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(d.Body))
	if err != nil {
		return 0, fmt.Errorf("--to: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range d.Header {
		req.Header.Set(name, value)
	}
	i.signers[d.Source].addSignature(req.Header, secret, id, d.Body)
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
