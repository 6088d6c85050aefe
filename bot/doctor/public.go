package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"tocsin/bot/health"
	"tocsin/bot/outbound"
	"tocsin/store"
)

// Path is where a running bot shows how a request arrives. A token of the keyset follows.
const Path = "/doctor/"

// Arrival is how a request through the public URL arrives at the bot.
type Arrival struct {
	Peer         string `json:"peer"` // address and port of the other side of the connection
	ForwardedFor string `json:"forwarded_for"`
}

// checkPublicURL requests a page of the bot through its public address.
func (d *Doctor) checkPublicURL(ctx context.Context) {
	const check = "public URL"
	site := cmp.Or(d.PublicURL, d.Config.PublicURL)
	if site == "" {
		d.skip(check, "It is not known here", "Set public_url, or run `tocsin doctor --public-url https://…`, if webhooks, Slack over HTTP or the report form must reach Tocsin")
		return
	}
	u, err := url.Parse(site)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		d.fail(check, "--public-url is not a URL", "Write one such as https://tocsin.example.com")
		return
	}
	keys, err := store.LoadKeyset(d.Config.Store.KeysetFile)
	if err != nil {
		d.skip(check, "It can only be checked with the keyset", "Repair the keyset first")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	res, err := d.get(ctx, strings.TrimSuffix(site, "/")+Path+keys.Token(d.Clock()), outbound.Limits{})
	if err != nil {
		p := health.Explain(u.Host, err)
		d.fail(check, p.Cause, p.Fix)
		return
	}
	defer func() { _ = res.Body.Close() }()
	var a Arrival
	err = json.NewDecoder(io.LimitReader(res.Body, 4096)).Decode(&a)
	switch {
	case res.StatusCode == http.StatusOK && err == nil && a.Peer != "":
		d.ok(check, "This Tocsin answers there")
		d.checkProxy(a)
	case res.StatusCode == http.StatusBadGateway || res.StatusCode == http.StatusServiceUnavailable || res.StatusCode == http.StatusGatewayTimeout:
		d.fail(check, fmt.Sprintf("The proxy answers with the status %d: it does not reach Tocsin", res.StatusCode), "Check that `tocsin serve` runs, and that the proxy sends to "+d.Config.Listen)
	default:
		d.fail(check, fmt.Sprintf("Another program, another Tocsin or the proxy itself answers there, with the status %d", res.StatusCode), "Check the DNS name, and that the proxy sends /doctor/ to "+d.Config.Listen)
	}
}

// checkProxy compares the trusted proxies with how the request arrived.
func (d *Doctor) checkProxy(a Arrival) {
	const check = "sources.trusted_proxies"
	peer, err := netip.ParseAddrPort(a.Peer)
	if err != nil {
		return // a connection without addresses
	}
	addr := peer.Addr().Unmap()
	isTrusted := slices.ContainsFunc(d.Config.Sources.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
	switch {
	case a.ForwardedFor != "" && !isTrusted:
		d.fail(check, "The proxy "+addr.String()+" sends X-Forwarded-For, but Tocsin does not trust it: every sender looks like the proxy, and their limits are shared", "Add "+addr.String()+" to sources.trusted_proxies")
	case a.ForwardedFor == "" && isTrusted:
		d.warn(check, "Tocsin trusts "+addr.String()+", which sends no X-Forwarded-For: every sender looks like the proxy", "Let the proxy add X-Forwarded-For, or ignore this if no proxy is in front")
	case a.ForwardedFor != "":
		d.ok(check, "Tocsin trusts the proxy "+addr.String()+", which sends X-Forwarded-For")
	default:
		d.ok(check, "No proxy is in front")
	}
}
