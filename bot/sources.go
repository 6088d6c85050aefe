package bot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/alertmanager"
	"tocsin/bot/cloudtrail"
	"tocsin/bot/detect"
	"tocsin/bot/generic"
	"tocsin/bot/hackerone"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/pagerduty"
	"tocsin/bot/secret"
	"tocsin/bot/sentry"
	"tocsin/bot/sns"
	"tocsin/bot/trail"
	"tocsin/bot/vulnreport"
)

// openFixedSources creates the sources that do not change in a running process,
// because they poll a queue or a mailbox or cache certificates.
func (b *Bot) openFixedSources() error {
	c := b.start.Sources
	records := liveRecords{&b.current}
	if len(c.SNS.Topics) > 0 {
		topics, err := sns.New(sns.Config{Topics: c.SNS.Topics, AllowV1: c.SNS.AllowV1, Decoder: records, Observer: b.metrics, Logger: b.log})
		if err != nil {
			return fmt.Errorf("sources.sns: %w", err)
		}
		b.fixedSources[topics.Name()] = topics
	}
	if c.Trail.QueueURL != "" {
		files, err := trail.New(trail.Config{QueueURL: c.Trail.QueueURL, Region: c.Trail.Region, Endpoint: c.Trail.Endpoint, Pollers: c.Trail.Pollers,
			Sink: trailSink{b}, Evaluate: records.Evaluate, Clock: b.clock, Logger: b.log, Observer: b.metrics})
		if err != nil {
			return fmt.Errorf("sources.trail: %w", err)
		}
		b.trail = files
		b.fixedSources[files.Name()] = files
	}
	if c.Report.Form != nil || c.Report.Mailbox != nil {
		source, err := c.Report.source(b.start.Mail.From, b.clock)
		if err != nil {
			return err
		}
		b.reportSource = source
		b.fixedSources[source.Name()] = source
	}
	return nil
}

// openEdge creates the edge that serves the sources of the current generation.
func (b *Bot) openEdge() error {
	c := b.start.Sources
	var all []intake.Source
	for _, name := range slices.Sorted(maps.Keys(b.current.Load().sources)) {
		all = append(all, liveSource{&b.current, name})
	}
	proxies, err := parseNetworks(c.TrustedProxies)
	if err != nil {
		return fmt.Errorf("sources.trusted_proxies: %w", err)
	}
	limits, err := c.limits()
	if err != nil {
		return err
	}
	largest := int64(0)
	for _, l := range limits {
		largest = max(largest, l.MaxBody)
	}
	b.admission = intake.NewAdmission(intake.AdmissionOptions{LargestBody: largest, TrustedProxies: proxies, Observer: b.metrics})
	b.edge = intake.New(intake.Options{Store: b.store, Desk: liveDesk{&b.current}, Sources: all, Limits: limits, Admission: b.admission, Clock: b.clock, Logger: b.log, Observer: b.metrics})
	return b.openReports()
}

// webhooks returns the configured sources that a reload replaces, by name.
// records decodes CloudTrail events.
func (c Sources) webhooks(records *cloudtrail.Source) (map[string]intake.Source, error) {
	all := c.simpleWebhooks()
	if len(c.CloudTrail.APIKeys) > 0 || c.Trail.QueueURL != "" {
		all = append(all, records)
	}
	for n, g := range c.Generic {
		source, err := generic.New(g.config())
		if err != nil {
			return nil, fmt.Errorf("sources.generic[%d]: %w", n, err)
		}
		all = append(all, source)
	}
	out := map[string]intake.Source{}
	for _, s := range all {
		out[s.Name()] = s
	}
	return out, nil
}

// simpleWebhooks returns the configured webhook sources whose constructors cannot
// fail.
func (c Sources) simpleWebhooks() []intake.Source {
	var out []intake.Source
	if len(c.Sentry.ClientSecrets) > 0 {
		out = append(out, sentry.New(sentry.Config{ClientSecrets: c.Sentry.ClientSecrets}))
	}
	if len(c.PagerDuty.WebhookSecrets) > 0 {
		out = append(out, pagerduty.NewSource(c.PagerDuty.WebhookSecrets))
	}
	if a := c.Alertmanager; len(a.Tokens)+len(a.Basic) > 0 {
		pairs := make([]alertmanager.Basic, len(a.Basic))
		for n, p := range a.Basic {
			pairs[n] = alertmanager.Basic{Username: p.Username, Password: p.Password}
		}
		out = append(out, alertmanager.New(alertmanager.Config{Tokens: a.Tokens, Basic: pairs}))
	}
	if len(c.HackerOne.Secrets) > 0 {
		out = append(out, hackerone.New(hackerone.Config{Secrets: c.HackerOne.Secrets}))
	}
	return out
}

func (c CloudTrailSource) config(rules *detect.Ruleset) cloudtrail.Config {
	return cloudtrail.Config{APIKeys: c.APIKeys, HeaderName: c.Header, Rules: rules}
}

func (g GenericSource) config() generic.Config {
	m := generic.Mapping{Tags: g.Tags}
	for name, field := range mappingFields(&m) {
		*field = g.Mapping[name]
	}
	return generic.Config{Name: g.Name, Tokens: g.Tokens, HMAC: generic.HMAC{Header: g.HMAC.Header, Prefix: g.HMAC.Prefix, Secrets: g.HMAC.Secrets},
		Headers: g.Headers, DeliveryHeader: g.DeliveryHeader, Mapping: m}
}

// mappingFields returns the expressions of m by their key in the configuration.
func mappingFields(m *generic.Mapping) map[string]*string {
	return map[string]*string{"when": &m.When, "each": &m.Each, "resolved": &m.Resolved, "title": &m.Title, "kind": &m.Kind, "level": &m.Level,
		"fingerprint": &m.Fingerprint, "correlation": &m.Correlation, "detail": &m.Detail, "url": &m.URL, "event_id": &m.EventID, "at": &m.At,
		"project": &m.Project, "release": &m.Release, "environment": &m.Environment, "account": &m.Account, "region": &m.Region,
		"principal": &m.Principal, "address": &m.Address, "rule": &m.Rule, "sample": &m.Sample}
}

// forEachLimits calls do with the limits of each source, its name in the webhook
// URL and its key in the configuration.
func (c Sources) forEachLimits(do func(name, key string, l Limits)) {
	do("sentry", "sources.sentry", c.Sentry.Limits)
	do("cloudtrail", "sources.cloudtrail", c.CloudTrail.Limits)
	do("sns", "sources.sns", c.SNS.Limits)
	do("pagerduty", "sources.pagerduty", c.PagerDuty.Limits)
	do("alertmanager", "sources.alertmanager", c.Alertmanager.Limits)
	do("hackerone", "sources.hackerone", c.HackerOne.Limits)
	for n, g := range c.Generic {
		name := g.Name
		if name == "" {
			name = "generic"
		}
		do(name, fmt.Sprintf("sources.generic[%d]", n), g.Limits)
	}
}

// names returns the sources that an alert may have, sorted, including sources
// that are off. Alerts from SNS have the source cloudtrail, and reports from
// HackerOne have the source report.
func (c Sources) names() []string {
	names := []string{"report", "trail"}
	c.forEachLimits(func(name, _ string, _ Limits) { names = append(names, name) })
	slices.Sort(names)
	return names
}

// limits returns the limits by source.
func (c Sources) limits() (map[string]intake.Limits, error) {
	out := map[string]intake.Limits{}
	var errs []error
	c.forEachLimits(func(name, key string, l Limits) {
		allowed, err := parseNetworks(l.Networks)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.limits.networks: %w", key, err))
		}
		out[name] = intake.Limits{Off: l.Off, Networks: allowed, MaxBody: l.MaxBody, Rate: l.Rate, Burst: l.Burst, MaxWaiting: l.MaxWaiting}
	})
	return out, errors.Join(errs...)
}

// parseNetworks parses prefixes and addresses. An address becomes a prefix of
// its full length.
func parseNetworks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		if addr, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network. Write a prefix such as 192.0.2.0/24, or an address", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// trailSink stores the records of trail files. It writes each batch in one
// transaction.
type trailSink struct{ b *Bot }

// Accept returns nil when all deliveries are committed.
func (d trailSink) Accept(ctx context.Context, ds []trail.Delivery) error {
	batch := make([]intake.Delivery, len(ds))
	for n, r := range ds {
		batch[n] = intake.Delivery{Source: r.Source, ID: r.ID, Body: r.Body, Evaluation: r.Evaluation, Received: r.Received, Sender: r.Sender,
			Verified: "read from the trail's bucket with the credentials of Tocsin"}
	}
	return d.b.store.Accept(ctx, batch)
}

// registerPublic registers the report form and security.txt, if configured.
func (b *Bot) registerPublic(mux *http.ServeMux) {
	if b.reportForm != nil {
		mux.Handle("/report", b.admission.Limit(vulnreport.MaxFormBytes, b.reportForm))
	}
	if b.securityTxt != nil {
		mux.Handle("GET /.well-known/security.txt", b.securityTxt)
	}
}

var headerNamePattern = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// validateSources creates each configured source, as startup does, and adds its
// errors.
func (c Config) validateSources(f *ConfigErrors) {
	s := c.Sources
	for key, secrets := range map[string][]secret.String{"sources.sentry.client_secrets": s.Sentry.ClientSecrets, "sources.cloudtrail.api_keys": s.CloudTrail.APIKeys,
		"sources.pagerduty.webhook_secrets": s.PagerDuty.WebhookSecrets, "sources.alertmanager.tokens": s.Alertmanager.Tokens, "sources.hackerone.secrets": s.HackerOne.Secrets} {
		for n, one := range secrets {
			if len(one.Reveal()) < 16 {
				f.add(fmt.Sprintf("%s[%d]", key, n), "is too short. Use at least 16 characters")
			}
		}
	}
	if !headerNamePattern.MatchString(s.CloudTrail.Header) {
		f.add("sources.cloudtrail.header", "is not a valid header name. Write one such as X-Api-Key")
	}
	for n, p := range s.Alertmanager.Basic {
		if p.Username == "" || len(p.Password.Reveal()) < 16 {
			f.add(fmt.Sprintf("sources.alertmanager.basic[%d]", n), "is incomplete. Set a username and a password of at least 16 characters")
		}
	}
	if _, err := parseNetworks(s.TrustedProxies); err != nil {
		f.add("sources.trusted_proxies", "%v", err)
	}
	taken := map[string]string{"trail": "sources.trail", "report": "sources.report"}
	s.forEachLimits(func(name, key string, l Limits) {
		l.validate(key+".limits", f)
		if other, twice := taken[name]; twice {
			f.add(key+".name", "the name %q is already used by %s. Choose another", name, other)
		}
		taken[name] = key
	})
	if len(s.SNS.Topics) > 0 {
		if _, err := sns.New(sns.Config{Topics: s.SNS.Topics, Decoder: cloudtrail.New(cloudtrail.Config{})}); err != nil {
			f.add("sources.sns.topics", "%v", err)
		}
	}
	for n, g := range s.Generic {
		key := fmt.Sprintf("sources.generic[%d]", n)
		known := slices.Sorted(maps.Keys(mappingFields(&generic.Mapping{})))
		for name := range g.Mapping {
			if slices.Contains(known, name) {
				continue
			}
			if near := incident.Nearest(name, known); near != "" {
				f.add(key+".mapping."+name, "unknown field. Did you mean %s?", near)
			} else {
				f.add(key+".mapping."+name, "unknown field. Use one of %s", strings.Join(known, ", "))
			}
		}
		for list, secrets := range map[string][]secret.String{"tokens": g.Tokens, "hmac.secrets": g.HMAC.Secrets} {
			for n, one := range secrets {
				if len(one.Reveal()) < 16 {
					f.add(fmt.Sprintf("%s.%s[%d]", key, list, n), "is too short. Use at least 16 characters")
				}
			}
		}
		headers := map[string]string{"hmac.header": g.HMAC.Header, "delivery_header": g.DeliveryHeader}
		for n, h := range g.Headers {
			headers[fmt.Sprintf("headers[%d]", n)] = h
		}
		for name, h := range headers {
			if h != "" && !headerNamePattern.MatchString(h) {
				f.add(key+"."+name, "%q is not a valid header name. Use letters, digits and hyphens", h)
			}
		}
		if _, err := generic.New(g.config()); err != nil {
			for _, one := range splitJoined(err) {
				field, fix, _ := strings.Cut(one.Error(), ": ")
				f.add(key+"."+field, "%s", fix)
			}
		}
	}
	if t := s.Trail; t.QueueURL != "" {
		if _, err := trail.New(trail.Config{QueueURL: t.QueueURL, Region: t.Region, Endpoint: t.Endpoint, Pollers: t.Pollers, Sink: trailSink{}}); err != nil {
			f.add("sources.trail.queue_url", "%v", err)
		}
		if u, err := url.Parse(t.Endpoint); t.Endpoint != "" && (err != nil || u.Host == "") {
			f.add("sources.trail.endpoint", "is not a URL. Write one such as https://sqs.example.com, or omit the key")
		}
		if t.Pollers < 0 {
			f.add("sources.trail.pollers", "is negative. Write 0 or more")
		}
	}
	s.Report.validate(c.Mail.Host != "", f)
}

// splitJoined returns the errors that [errors.Join] combined, or err itself.
func splitJoined(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

func (l Limits) validate(key string, f *ConfigErrors) {
	if _, err := parseNetworks(l.Networks); err != nil {
		f.add(key+".networks", "%v", err)
	}
	if l.MaxBody < 0 || l.MaxBody > 16<<20 {
		f.add(key+".max_body", "is out of range. Write a number of bytes from 0 to 16777216")
	}
	for name, n := range map[string]float64{"rate": l.Rate, "burst": float64(l.Burst), "max_waiting": float64(l.MaxWaiting)} {
		if n < 0 {
			f.add(key+"."+name, "is negative. Write 0 or more")
		}
	}
	if l.Burst > 0 && l.Rate == 0 {
		f.add(key+".burst", "has no effect without a rate. Set rate, in requests per second and sender")
	}
}
