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
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tocsin/bot/incident"
)

const (
	// verifyTimeout is what one delivery may cost in calls to Amazon; SNS hangs up
	// after 15 s.
	verifyTimeout = 8 * time.Second
	// callTimeout bounds one call.
	callTimeout = 3 * time.Second
	// maxResponse bounds what is read of an answer.
	maxResponse = 64 << 10
	// maxCached bounds the certificates that are remembered, maxChain those of one file.
	maxCached, maxChain = 64, 5
)

// newClient is the client for Amazon: no cookies, no redirects.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return &http.Client{Transport: t}
}

// snsHost is a host of SNS, issuerHost one where Amazon's authority keeps the
// certificates of its issuers.
var (
	snsHost    = regexp.MustCompile(`^sns\.[a-z]{2}(-[a-z]+)+-\d{1,2}\.amazonaws\.com(\.cn)?$`)
	issuerHost = regexp.MustCompile(`^crt\.[a-z0-9]{1,20}\.amazontrust\.com$`)
)

// parseSNSURL reads an address that must be on a host of SNS. It is compared as
// written: what a parser would have to repair is refused.
func parseSNSURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || raw == "":
		return nil, errors.New("it is no URL")
	case !strings.HasPrefix(raw, "https://"):
		return nil, errors.New("it is not https")
	case u.User != nil:
		return nil, errors.New("it names a user")
	case u.Host != u.Hostname() && u.Host != u.Hostname()+":443":
		return nil, errors.New("its port is not 443")
	case !snsHost.MatchString(u.Hostname()):
		return nil, fmt.Errorf("the host %q is not one of SNS", truncate(u.Hostname()))
	case strings.Contains(raw, "#"):
		return nil, errors.New("it has a fragment")
	}
	return u, nil
}

// parseCertificateURL reads the address of a signing certificate.
func parseCertificateURL(raw string) (*url.URL, error) {
	u, err := parseSNSURL(raw)
	switch {
	case err != nil:
		return nil, err
	case strings.Contains(raw, "?"):
		return nil, errors.New("it has a query")
	case !strings.HasSuffix(u.Path, ".pem") || u.RawPath != "" || strings.ContainsAny(raw, "%\\") || strings.Contains(u.Path, ".."):
		return nil, errors.New("its path does not end in .pem, or is written oddly")
	}
	return u, nil
}

// certificates fetches, judges and remembers signing certificates. Only those
// that were good once are remembered, so that nobody fills the memory or
// pushes a good one out with made-up addresses; and the calls a stranger can
// cause are bounded.
type certificates struct {
	client   *http.Client
	roots    *x509.CertPool // the system's if nil
	observer Observer
	limiter  *rate.Limiter

	mu       sync.Mutex
	cached   map[string][]*x509.Certificate // leaf first
	fetching map[string]chan struct{}       // addresses that are being fetched; closed when done
}

func newCertificates(client *http.Client, roots *x509.CertPool, o Observer) *certificates {
	refused := *client
	refused.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &certificates{client: &refused, roots: roots, observer: o, limiter: rate.NewLimiter(1, 20),
		cached: map[string][]*x509.Certificate{}, fetching: map[string]chan struct{}{}}
}

// publicKey is the public key of the certificate at an address, judged at now.
func (c *certificates) publicKey(ctx context.Context, where *url.URL, now time.Time) (*rsa.PublicKey, error) {
	chain, err := c.chain(ctx, where, now)
	if err != nil {
		return nil, err
	}
	if err := c.check(chain, where.Hostname(), now); err != nil {
		return nil, incident.Forbidden("the certificate is refused: %v", err)
	}
	key, ok := chain[0].PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < 2048 {
		return nil, incident.Forbidden("the certificate is refused: its key is no RSA key of at least 2048 bits")
	}
	return key, nil
}

// chain is remembered, or fetched once for all who ask at the same time.
func (c *certificates) chain(ctx context.Context, where *url.URL, now time.Time) ([]*x509.Certificate, error) {
	address := where.String()
	for {
		c.mu.Lock()
		chain, done := c.cached[address], c.fetching[address]
		if chain == nil && done == nil {
			done = make(chan struct{})
			c.fetching[address] = done
			c.mu.Unlock()
			return c.fetchAndCache(ctx, where, now, done)
		}
		c.mu.Unlock()
		if chain != nil {
			return chain, nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the certificate: %w", ctx.Err())
		}
	}
}

func (c *certificates) fetchAndCache(ctx context.Context, where *url.URL, now time.Time, done chan struct{}) ([]*x509.Certificate, error) {
	chain, err := c.fetch(ctx, where, now)
	if err == nil {
		if bad := c.check(chain, where.Hostname(), now); bad != nil {
			err = incident.Forbidden("the certificate is refused: %v", bad)
		}
	}
	c.observer.Certificate(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fetching, where.String())
	close(done)
	if err != nil {
		return nil, err
	}
	if len(c.cached) >= maxCached {
		clear(c.cached) // it never comes to that: Amazon has two or three a region
	}
	c.cached[where.String()] = chain
	return chain, nil
}

// fetch gets the certificate and, where its file does not hold them, those of
// its issuers, as the certificate names them. Amazon's file holds the leaf only.
func (c *certificates) fetch(ctx context.Context, where *url.URL, now time.Time) ([]*x509.Certificate, error) {
	if !c.limiter.AllowN(now, 1) {
		return nil, errors.New("too many signing certificates were asked for; later")
	}
	var chain []*x509.Certificate
	err := c.get(ctx, where, func(body []byte) (err error) {
		chain, err = parsePEM(body)
		return err
	})
	if err != nil {
		return nil, fetchError("the signing certificate", err)
	}
	for len(chain) < maxChain && errors.As(c.check(chain, where.Hostname(), now), new(x509.UnknownAuthorityError)) {
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
			return nil, fetchError("the issuer's certificate", err)
		}
	}
	return chain, nil
}

// issuerURL is where a certificate says that its issuer's is. It may be plain
// http: what comes from there is believed only as far as a root vouches for it.
func issuerURL(c *x509.Certificate) (*url.URL, bool) {
	for _, raw := range c.IssuingCertificateURL {
		u, err := url.Parse(raw)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && issuerHost.MatchString(u.Host) && u.RawQuery == "" {
			return u, true
		}
	}
	return nil, false
}

// errBadResponse is an answer that another attempt would not change.
var errBadResponse = errors.New("the answer is not what was asked for")

// fetchError tells what is the sender's fault, who named an address where
// nothing good is, from what may be well in a minute.
func fetchError(what string, err error) error {
	if errors.Is(err, errBadResponse) {
		return incident.Forbidden("%s is refused: %v", what, err)
	}
	return fmt.Errorf("fetch %s: %w", what, err)
}

// get asks for an address; the answer must be 200, at once and small.
func (c *certificates) get(ctx context.Context, u *url.URL, use func([]byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		var full *url.Error
		if errors.As(err, &full) {
			err = full.Err // without the address, which may carry a token
		}
		return fmt.Errorf("ask %s: %w", u.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%s answered %s", u.Host, resp.Status)
	case resp.StatusCode != http.StatusOK: // a redirect as well
		return fmt.Errorf("%w: %s answered %s", errBadResponse, u.Host, resp.Status)
	case err != nil:
		return fmt.Errorf("read the answer of %s: %w", u.Host, err)
	case len(body) > maxResponse:
		return fmt.Errorf("%w: more than %d bytes", errBadResponse, maxResponse)
	}
	if err := use(body); err != nil {
		return fmt.Errorf("%w: %w", errBadResponse, err)
	}
	return nil
}

// parsePEM takes certificates and nothing else.
func parsePEM(body []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := strings.TrimSpace(string(body)); rest != ""; {
		if !strings.HasPrefix(rest, "-----BEGIN CERTIFICATE-----") || len(chain) == maxChain {
			return nil, errors.New("the file holds something else than a few certificates")
		}
		block, after := pem.Decode([]byte(rest))
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			return nil, errors.New("the file is no PEM")
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

// check checks names, validity and the chain up to a root, at the time of receipt.
func (c *certificates) check(chain []*x509.Certificate, host string, now time.Time) error {
	leaf := chain[0]
	named := false
	for _, n := range []string{"sns.amazonaws.com", host} { // regions that are switched on by hand use their own name
		named = named || leaf.VerifyHostname(n) == nil
	}
	if !named {
		return fmt.Errorf("it is not made out to sns.amazonaws.com or %s", host)
	}
	between := x509.NewCertPool()
	for _, i := range chain[1:] {
		between.AddCert(i)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: c.roots, Intermediates: between, CurrentTime: now}); err != nil {
		return fmt.Errorf("verify the chain: %w", err)
	}
	return nil
}
