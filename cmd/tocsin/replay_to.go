package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin/bot"
)

// signers say how each source proves that a delivery is its own, so that
// another instance takes it through its ordinary door.
var signers = map[string]func(h http.Header, secret, id string, body []byte){
	"sentry": func(h http.Header, secret, id string, body []byte) {
		h.Set("Sentry-Hook-Signature", signature(secret, body))
		h.Set("Request-ID", id)
	},
	"pagerduty": func(h http.Header, secret, id string, body []byte) {
		h.Set("X-PagerDuty-Signature", "v1="+signature(secret, body))
		h.Set("X-Webhook-Id", id)
	},
	"hackerone": func(h http.Header, secret, _ string, body []byte) {
		h.Set("X-H1-Signature", "sha256="+signature(secret, body))
	},
	"cloudtrail":   func(h http.Header, secret, _ string, _ []byte) { h.Set("X-Api-Key", secret) },
	"alertmanager": bearer,
	"generic":      bearer,
}

func bearer(h http.Header, secret, _ string, _ []byte) { h.Set("Authorization", "Bearer "+secret) }

func signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// sourceSecrets reads SOURCE=SECRET.
func sourceSecrets(given []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range given {
		source, secret, ok := strings.Cut(s, "=")
		if _, known := signers[source]; !ok || !known || secret == "" {
			return nil, fmt.Errorf("--secret is SOURCE=SECRET, for %s", strings.Join(slices.Sorted(maps.Keys(signers)), ", "))
		}
		out[source] = secret
	}
	return out, nil
}

// toInstance posts deliveries to another instance, one after the other, so that
// they keep their order. It waits when it is told to, and stops at the first
// that is refused.
func toInstance(ctx context.Context, to string, given []string, again bool) (sink, error) {
	base, err := url.Parse(to)
	if err != nil || base.Host == "" {
		return sink{}, errors.New("--to is the address of an instance, such as https://tocsin.example.com")
	}
	secrets, err := sourceSecrets(given)
	if err != nil {
		return sink{}, err
	}
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return sink{end: func(bool) error { return nil }, take: func(d bot.Recorded) error {
		secret, ok := secrets[d.Source]
		if !ok {
			return fmt.Errorf("a delivery of %s needs --secret %s=…", d.Source, d.Source)
		}
		id := d.ID
		if again {
			id += "#" + rand.Text()
		}
		for tries := 0; ; tries++ {
			wait, err := post(ctx, client, base.JoinPath("hooks", d.Source).String(), secret, id, d)
			if err == nil || wait == 0 || tries == 5 {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
	}}, nil
}

// post sends one delivery; wait says when to try again, if that makes sense.
func post(ctx context.Context, client *http.Client, at, secret, id string, d bot.Recorded) (wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(d.Body))
	if err != nil {
		return 0, fmt.Errorf("--to: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range d.Header {
		req.Header.Set(name, value)
	}
	signers[d.Source](req.Header, secret, id, d.Body)
	res, err := client.Do(req)
	if err != nil {
		return 2 * time.Second, fmt.Errorf("post to %s: %w", at, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusAccepted {
		return 0, nil
	}
	said, _ := io.ReadAll(io.LimitReader(res.Body, 2048))
	err = fmt.Errorf("%s answered %d: %s", at, res.StatusCode, bytes.TrimSpace(said))
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode < 500 {
		return 0, err
	}
	if wait, parseErr := time.ParseDuration(res.Header.Get("Retry-After") + "s"); parseErr == nil && wait > 0 && wait <= time.Minute {
		return wait, err
	}
	return 5 * time.Second, err
}
