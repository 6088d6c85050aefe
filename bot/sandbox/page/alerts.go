package page

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"tocsin/bot/sandbox/feed"
)

// choice is one alert that the page can raise.
type choice struct {
	ID    string `json:"id"`
	From  string `json:"from"`
	Title string `json:"title"`
	Text  string `json:"text"`
	// deliveries are what one telling posts, in order.
	deliveries func(p *Page, seed uint64, c feed.Copy) []feed.Delivery
}

const (
	fromSentry     = "Sentry"
	fromCloudTrail = "CloudTrail"
	fromInvalid    = "Bad input"
)

func issue(kind feed.Kind) func(*Page, uint64, feed.Copy) []feed.Delivery {
	return func(p *Page, seed uint64, c feed.Copy) []feed.Delivery {
		return []feed.Delivery{p.cfg.Sentry.EventAlertDelivery(feed.NewIssue(kind, seed), c)}
	}
}

func trail(call func(uint64) feed.Call) func(*Page, uint64, feed.Copy) []feed.Delivery {
	return func(p *Page, seed uint64, c feed.Copy) []feed.Delivery {
		return []feed.Delivery{p.cfg.CloudTrail.Delivery(call(seed), c)}
	}
}

var alerts = []choice{
	{"sentry-data-leak", fromSentry, "One tenant saw another's documents", "alert rule on an issue tagged data_leak", issue(feed.DataLeak)},
	{"sentry-auth-bypass", fromSentry, "A token accepted that should not be", "alert rule on an issue tagged auth_bypass", issue(feed.AuthBypass)},
	{"sentry-sql-injection", fromSentry, "Hostile input reached the database", "alert rule on an issue tagged sql_injection", issue(feed.Injection)},
	{"sentry-metric", fromSentry, "A metric went critical", "metric alert about the same project", metric},
	{"sentry-crash", fromSentry, "An ordinary crash", "nothing about security: watched, nobody is woken", issue(feed.Crash)},
	{"cloudtrail-access-key", fromCloudTrail, "An access key made for somebody else", "iam CreateAccessKey", trail(feed.CreateAccessKey)},
	{"cloudtrail-stop-logging", fromCloudTrail, "The audit trail switched off", "cloudtrail StopLogging", trail(feed.StopLogging)},
	{"cloudtrail-root-login", fromCloudTrail, "Root signed in without a second factor", "signin ConsoleLogin", trail(feed.RootConsoleLogin)},
	{"cloudtrail-public-bucket", fromCloudTrail, "A bucket opened to everybody", "s3 PutBucketPolicy", trail(feed.PublicBucketPolicy)},
	{"cloudtrail-secret-burst", fromCloudTrail, "One role read twenty secrets", "secretsmanager GetSecretValue, twenty events", burst},
	{"cloudtrail-open-port", fromCloudTrail, "A port opened to the internet", "ec2 AuthorizeSecurityGroupIngress", trail(feed.OpenSecurityGroup)},
	{"forged", fromInvalid, "A forged webhook", "the signature is not Sentry's: 401, nothing is kept", forged},
	{"unknown-shape", fromInvalid, "A webhook of an unknown shape", "correctly signed: kept, and shown to a person", unknownShape},
}

func metric(p *Page, seed uint64, c feed.Copy) []feed.Delivery {
	if c.At.IsZero() {
		c.At = p.cfg.Now()
	}
	i := feed.NewIssue(feed.AuthBypass, seed)
	return []feed.Delivery{p.cfg.Sentry.NewDelivery("metric_alert", feed.SentryMetricAlert("critical", i, c), fmt.Sprintf("metric-%s-%d", i.ID, c.N))}
}

func burst(p *Page, seed uint64, c feed.Copy) []feed.Delivery {
	var out []feed.Delivery
	for _, call := range feed.SecretBurst(seed, 20) {
		out = append(out, p.cfg.CloudTrail.Delivery(call, c))
	}
	return out
}

func forged(p *Page, seed uint64, c feed.Copy) []feed.Delivery {
	d := p.cfg.Sentry.EventAlertDelivery(feed.NewIssue(feed.DataLeak, seed), c)
	d.Header.Set("Sentry-Hook-Signature", feed.SignSentry("not the secret", d.Body))
	return []feed.Delivery{d}
}

func unknownShape(p *Page, seed uint64, c feed.Copy) []feed.Delivery {
	body := fmt.Appendf(nil, `{"action":"exploded","data":{"number":%d},"actor":{"type":"application"}}`, c.N)
	return []feed.Delivery{p.cfg.Sentry.NewDelivery("issue", body, fmt.Sprintf("unknown-%d-%d", seed, c.N))}
}

// choices are the alerts for which there is an address.
func (p *Page) choices() []choice {
	return slices.DeleteFunc(slices.Clone(alerts), func(c choice) bool { return c.url(p) == "" })
}

func (c choice) url(p *Page) string {
	if c.From == fromCloudTrail {
		return p.cfg.CloudTrail.URL
	}
	return p.cfg.Sentry.URL
}

// alertKey is one thing that happened; its copies are numbered on.
type alertKey struct {
	alert string
	seed  uint64
}

// sendLog is what became of one press of a button, for the log.
type sendLog struct {
	At      time.Time      `json:"at"`
	Alert   string         `json:"alert"`
	Seed    uint64         `json:"seed"`
	Sent    int            `json:"sent"`
	Answers map[string]int `json:"answers"` // by HTTP status
	Lost    int            `json:"lost"`    // no answer in time
	Last    string         `json:"last,omitempty"`
	TookMS  int64          `json:"took_ms"`
}

const (
	maxCopies   = 10_000
	senders     = 16
	maxSendLogs = 200
)

// raise sends an alert, with its copies, sixteen at a time. Without a seed it is
// a new one; with the seed of an earlier one, more copies of that.
func (p *Page) raise(r *http.Request, in struct {
	Alert  string  `json:"alert"`
	Copies int     `json:"copies"`
	Seed   *uint64 `json:"seed"`
}) (any, error) {
	list := p.choices()
	i := slices.IndexFunc(list, func(c choice) bool { return c.ID == in.Alert })
	if i < 0 {
		return nil, notFound("there is no alert " + strconv.Quote(in.Alert))
	}
	copies := max(1, in.Copies)
	if copies > maxCopies {
		return nil, malformed(fmt.Sprintf("at most %d copies at a time", maxCopies))
	}
	seed, first := p.number(in.Alert, in.Seed, copies)
	s := p.deliver(r.Context(), list[i], seed, first, copies)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sent) == maxSendLogs {
		p.sent = slices.Delete(p.sent, 0, 1)
	}
	p.sent = append(p.sent, s)
	p.touch()
	return s, nil
}

// number takes the numbers of the next copies of an alert.
func (p *Page) number(alert string, given *uint64, copies int) (seed uint64, first int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if given != nil {
		seed = *given
	} else {
		seed = p.seed
		p.seed++
	}
	t := alertKey{alert, seed}
	first = p.told[t]
	p.told[t] = first + copies
	return seed, first
}

func (p *Page) deliver(ctx context.Context, c choice, seed uint64, first, copies int) sendLog {
	out := sendLog{At: p.cfg.Now(), Alert: c.ID, Seed: seed, Answers: map[string]int{}}
	began := time.Now() // of the wire, not of the story
	numbers := make(chan int)
	var mu sync.Mutex
	var work sync.WaitGroup
	for range min(senders, copies) {
		work.Go(func() {
			for n := range numbers {
				for _, d := range c.deliveries(p, seed, feed.Copy{N: n}) {
					a, err := p.send(ctx, c, d)
					mu.Lock()
					out.note(a, err)
					mu.Unlock()
				}
			}
		})
	}
	for n := range copies {
		numbers <- first + n
	}
	close(numbers)
	work.Wait()
	out.TookMS = time.Since(began).Milliseconds()
	return out
}

func (p *Page) send(ctx context.Context, c choice, d feed.Delivery) (feed.Answer, error) {
	if c.From == fromCloudTrail {
		return p.cfg.CloudTrail.Send(ctx, d)
	}
	return p.cfg.Sentry.Send(ctx, d)
}

func (s *sendLog) note(a feed.Answer, err error) {
	s.Sent++
	if err != nil {
		s.Lost++
		s.Last = err.Error()
		return
	}
	s.Answers[strconv.Itoa(a.Status)]++
	s.Last = string(bytes.TrimSpace([]byte(a.Body)))
}
