package sns

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tocsin/bot/incident"
	"tocsin/bot/outbound"
	"tocsin/bot/text"
)

const (
	// verifyTimeout bounds all calls to Amazon for one delivery. SNS hangs up after
	// 15 s.
	verifyTimeout = 8 * time.Second
	// callTimeout bounds one call to Amazon.
	callTimeout = 3 * time.Second
	// maxResponse is the maximum size of a response in bytes.
	maxResponse = 64 << 10
	// maxCached is the maximum number of cached chains, maxChain of certificates in
	// one chain.
	maxCached, maxChain = 64, 5
	// senderFetches is how many certificates one address can make Tocsin fetch at
	// once, and then one every senderInterval. maxFetches and fetchesPerSecond are the
	// limits of all addresses.
	senderFetches, senderInterval = 10, 10 * time.Second
	maxFetches, fetchesPerSecond  = 500, 5
	maxSenders                    = 4096 // remembered addresses
)

// newClient returns an HTTP client without cookies and connection reuse.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return outbound.NewClient(callTimeout, outbound.Limits{MaxResponse: 2 * maxResponse, Base: t}) // certificates.get reports more than maxResponse
}

// snsHost matches the hosts of SNS. issuerHost matches the hosts of Amazon's
// certificate authority, which serve the certificates of issuers.
var (
	snsHost    = regexp.MustCompile(`^sns\.[a-z]{2}(-[a-z]+)+-\d{1,2}\.amazonaws\.com(\.cn)?$`)
	issuerHost = regexp.MustCompile(`^crt\.[a-z0-9]{1,20}\.amazontrust\.com$`)
)

// parseSNSURL parses a URL, which must be on a host of SNS. It rejects every URL
// that is not in canonical form, because parsers can disagree about those.
func parseSNSURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || raw == "":
		return nil, errors.New("not a URL")
	case !strings.HasPrefix(raw, "https://"):
		return nil, errors.New("the scheme is not https")
	case u.User != nil:
		return nil, errors.New("the URL contains a user name")
	case u.Host != u.Hostname() && u.Host != u.Hostname()+":443":
		return nil, errors.New("the port is not 443")
	case !snsHost.MatchString(u.Hostname()):
		return nil, fmt.Errorf("the host %q does not belong to SNS", text.Truncate(u.Hostname(), maxQuote))
	case strings.Contains(raw, "#"):
		return nil, errors.New("the URL contains a fragment")
	}
	return u, nil
}

// parseCertificateURL parses the URL of a signing certificate, with the checks of
// parseSNSURL.
func parseCertificateURL(raw string) (*url.URL, error) {
	u, err := parseSNSURL(raw)
	switch {
	case err != nil:
		return nil, err
	case strings.Contains(raw, "?"):
		return nil, errors.New("the URL contains a query")
	case !strings.HasSuffix(u.Path, ".pem") || u.RawPath != "" || strings.ContainsAny(raw, "%\\") || strings.Contains(u.Path, ".."):
		return nil, errors.New("the path does not end in .pem or contains an escape")
	}
	return u, nil
}

// certificates fetches, verifies and caches signing certificates. It caches only
// valid ones, because an attacker with made-up URLs must not fill or flush the
// cache. The limits bound the calls that strangers can cause. Strangers cannot use up
// the limit of a genuine sender, unless they have more than fifty addresses. It
// is safe for concurrent use.
type certificates struct {
	client   *http.Client
	roots    *x509.CertPool // nil means the roots of the system
	observer Observer
	limiter  *rate.Limiter // for all senders

	mu       sync.Mutex
	senders  map[netip.Addr]*rate.Limiter
	cached   map[string][]*x509.Certificate // chains by URL, leaf first
	fetching map[string]chan struct{}       // by URL, closed when the fetch ends
}

func newCertificates(client *http.Client, roots *x509.CertPool, o Observer) *certificates {
	noRedirects := *client
	noRedirects.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &certificates{client: &noRedirects, roots: roots, observer: o, limiter: rate.NewLimiter(fetchesPerSecond, maxFetches), senders: map[netip.Addr]*rate.Limiter{},
		cached: map[string][]*x509.Certificate{}, fetching: map[string]chan struct{}{}}
}

// publicKey returns the RSA key of the certificate at u. The certificate must be
// valid at now, even if it is cached. Errors are *incident.Error with CodeForbidden
// if the certificate is invalid, and others if Amazon is unavailable.
func (c *certificates) publicKey(ctx context.Context, u *url.URL, now time.Time) (*rsa.PublicKey, error) {
	chain, err := c.chain(ctx, u, now)
	if err != nil {
		return nil, err
	}
	if err := c.check(chain, u.Hostname(), now); err != nil {
		return nil, invalidCertificate(err)
	}
	key, ok := chain[0].PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 {
		return nil, invalidCertificate(errors.New("its key is not an RSA key of at least 2048 bits"))
	}
	return key, nil
}

func invalidCertificate(err error) error {
	return incident.Forbidden("the signing certificate is invalid: %v. Forward messages as SNS sent them", err)
}

// chain returns the cached chain of u, or fetches it. Concurrent callers share one
// fetch. If it fails, each of them fetches, because the limits of one sender must not
// fail the message of another. The package singleflight would return the error to all
// callers, and a panic in its goroutine ends the process.
func (c *certificates) chain(ctx context.Context, u *url.URL, now time.Time) ([]*x509.Certificate, error) {
	key := u.String()
	for {
		c.mu.Lock()
		chain, done := c.cached[key], c.fetching[key]
		if chain == nil && done == nil {
			done = make(chan struct{})
			c.fetching[key] = done
			c.mu.Unlock()
			return c.fetchAndCache(ctx, u, now, done)
		}
		c.mu.Unlock()
		if chain != nil {
			return chain, nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for certificate: %w", ctx.Err())
		}
	}
}

// fetchAndCache fetches and checks the chain of u and caches it if it is valid. In
// any case, it removes the entry of u in c.fetching and closes done. Other callers
// wait for the fetch, so it continues for up to verifyTimeout after ctx ends.
func (c *certificates) fetchAndCache(ctx context.Context, u *url.URL, now time.Time, done chan struct{}) (chain []*x509.Certificate, err error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if chain != nil {
			if len(c.cached) >= maxCached {
				clear(c.cached) // not expected, because Amazon has two or three certificates per region
			}
			c.cached[u.String()] = chain
		}
		delete(c.fetching, u.String())
		close(done)
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTimeout)
	defer cancel()
	fetched, err := c.fetch(ctx, u, now)
	if err == nil {
		if problem := c.check(fetched, u.Hostname(), now); problem != nil {
			err = invalidCertificate(problem)
		}
	}
	c.observer.Certificate(err)
	if err != nil {
		return nil, err
	}
	return fetched, nil
}

// senderKey is the context key of the address that sent a message.
type senderKey struct{}

// allow counts a fetch against the limits of its sender and of all senders. It
// reports whether the fetch is allowed.
func (c *certificates) allow(ctx context.Context, now time.Time) bool {
	from, _ := ctx.Value(senderKey{}).(netip.Addr)
	c.mu.Lock()
	if len(c.senders) >= maxSenders {
		clear(c.senders)
	}
	sender := c.senders[from]
	if sender == nil {
		sender = rate.NewLimiter(rate.Every(senderInterval), senderFetches)
		c.senders[from] = sender
	}
	c.mu.Unlock()
	return sender.AllowN(now, 1) && c.limiter.AllowN(now, 1)
}

// fetch downloads the file at u and returns its certificates. If they do not lead to
// a root, it also downloads the issuers that the certificates name. Amazon's files
// contain only the leaf.
func (c *certificates) fetch(ctx context.Context, u *url.URL, now time.Time) ([]*x509.Certificate, error) {
	if !c.allow(ctx, now) {
		return nil, errors.New("fetch signing certificate: rate limit exceeded")
	}
	var chain []*x509.Certificate
	err := c.get(ctx, u, func(body []byte) (err error) {
		chain, err = parsePEM(body)
		return err
	})
	if err != nil {
		return nil, fetchError("signing certificate", err)
	}
	for len(chain) < maxChain && errors.As(c.check(chain, u.Hostname(), now), new(x509.UnknownAuthorityError)) {
		issuer, ok := issuerURL(chain[len(chain)-1])
		if !ok {
			break
		}
		err := c.get(ctx, issuer, func(body []byte) error {
			next, err := x509.ParseCertificate(body)
			if err == nil {
				chain = append(chain, next)
			}
			return err
		})
		if err != nil {
			return nil, fetchError("issuer certificate", err)
		}
	}
	return chain, nil
}

// issuerURL returns the first URL of the issuer's certificate on a host of Amazon.
// It may be plain http, because the fetched certificate must be signed by a trusted
// root.
func issuerURL(c *x509.Certificate) (*url.URL, bool) {
	for _, raw := range c.IssuingCertificateURL {
		u, err := url.Parse(raw)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && issuerHost.MatchString(u.Host) && u.RawQuery == "" {
			return u, true
		}
	}
	return nil, false
}

// errBadResponse marks a response that a retry would not change.
var errBadResponse = errors.New("unexpected response")

// fetchError returns an *incident.Error with CodeForbidden for a bad response,
// because the sender named a wrong URL. Other errors are temporary, and fetchError
// only adds the object to them.
func fetchError(object string, err error) error {
	if errors.Is(err, errBadResponse) {
		return incident.Forbidden("the URL of the %s is wrong: %v. Forward messages as SNS sent them", object, err)
	}
	return fmt.Errorf("fetch %s: %w", object, err)
}

// get requests u and passes the body to use. The response must have status 200 and
// at most maxResponse bytes, and must arrive within callTimeout. If a retry cannot
// succeed, the error wraps errBadResponse. That includes redirects and errors of
// use.
func (c *certificates) get(ctx context.Context, u *url.URL, use func([]byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("create request: %w", err)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		var full *url.Error
		if errors.As(err, &full) {
			err = full.Err // without the URL, which can contain a token
		}
		return fmt.Errorf("request %s: %w", u.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%s returned %s", u.Host, resp.Status)
	case resp.StatusCode != http.StatusOK: // includes redirects
		return fmt.Errorf("%w: %s returned %s", errBadResponse, u.Host, resp.Status)
	case err != nil:
		return fmt.Errorf("read response of %s: %w", u.Host, err)
	case len(body) > maxResponse:
		return fmt.Errorf("%w: more than %d bytes", errBadResponse, maxResponse)
	}
	if err := use(body); err != nil {
		return fmt.Errorf("%w: %w", errBadResponse, err)
	}
	return nil
}

// parsePEM parses up to maxChain certificates. It rejects any other content.
func parsePEM(body []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := strings.TrimSpace(string(body)); rest != ""; {
		if !strings.HasPrefix(rest, "-----BEGIN CERTIFICATE-----") || len(chain) == maxChain {
			return nil, fmt.Errorf("the file does not consist of up to %d certificates", maxChain)
		}
		block, after := pem.Decode([]byte(rest))
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			return nil, errors.New("the file is not PEM")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse certificate: %w", err)
		}
		chain, rest = append(chain, cert), strings.TrimSpace(string(after))
	}
	if len(chain) == 0 {
		return nil, errors.New("the file is empty")
	}
	return chain, nil
}

// check verifies the host name of the leaf and the chain up to a root, at the time
// now.
func (c *certificates) check(chain []*x509.Certificate, host string, now time.Time) error {
	leaf := chain[0]
	validHost := false
	for _, n := range []string{"sns.amazonaws.com", host} { // opt-in regions use the name of their host
		validHost = validHost || leaf.VerifyHostname(n) == nil
	}
	if !validHost {
		return fmt.Errorf("it is not issued for sns.amazonaws.com or %s", host)
	}
	intermediates := x509.NewCertPool()
	for _, i := range chain[1:] {
		intermediates.AddCert(i)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: c.roots, Intermediates: intermediates, CurrentTime: now}); err != nil {
		return fmt.Errorf("verify chain: %w", err)
	}
	return nil
}
