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

// alertChoice is an alert that the page can send.
type alertChoice struct {
	ID    string `json:"id"`
	From  string `json:"from"`
	Title string `json:"title"`
	Text  string `json:"text"`
	// deliveries returns the requests of one copy of the alert, in order.
	deliveries func(p *Page, seed uint64, c feed.Copy) []feed.Delivery
}

const (
	fromSentry     = "Sentry"
	fromCloudTrail = "CloudTrail"
	fromInvalid    = "Bad input"
)

func sentryIssue(kind feed.Kind) func(*Page, uint64, feed.Copy) []feed.Delivery {
	return func(p *Page, seed uint64, c feed.Copy) []feed.Delivery {
		return []feed.Delivery{p.cfg.Sentry.EventAlertDelivery(feed.NewIssue(kind, seed), c)}
	}
}

func cloudTrailCall(call func(uint64) feed.Call) func(*Page, uint64, feed.Copy) []feed.Delivery {
	return func(p *Page, seed uint64, c feed.Copy) []feed.Delivery {
		return []feed.Delivery{p.cfg.CloudTrail.Delivery(call(seed), c)}
	}
}

var alerts = []alertChoice{
	{"sentry-data-leak", fromSentry, "Documents of another tenant were displayed", "alert rule for issues with the tag data_leak", sentryIssue(feed.DataLeak)},
	{"sentry-auth-bypass", fromSentry, "An invalid token was accepted", "alert rule for issues with the tag auth_bypass", sentryIssue(feed.AuthBypass)},
	{"sentry-sql-injection", fromSentry, "Malicious input reached the database", "alert rule for issues with the tag sql_injection", sentryIssue(feed.Injection)},
	{"sentry-metric", fromSentry, "A metric became critical", "metric alert of this project", metric},
	{"sentry-crash", fromSentry, "An ordinary crash", "not about security: stored as watched, pages no one", sentryIssue(feed.Crash)},
	{"cloudtrail-access-key", fromCloudTrail, "An access key was created for another user", "iam CreateAccessKey", cloudTrailCall(feed.CreateAccessKey)},
	{"cloudtrail-stop-logging", fromCloudTrail, "The audit trail was disabled", "cloudtrail StopLogging", cloudTrailCall(feed.StopLogging)},
	{"cloudtrail-root-login", fromCloudTrail, "Root signed in without a second factor", "signin ConsoleLogin", cloudTrailCall(feed.RootConsoleLogin)},
	{"cloudtrail-public-bucket", fromCloudTrail, "A bucket was made public", "s3 PutBucketPolicy", cloudTrailCall(feed.PublicBucketPolicy)},
	{"cloudtrail-secret-burst", fromCloudTrail, "One role read twenty secrets", "secretsmanager GetSecretValue, twenty events", burst},
	{"cloudtrail-open-port", fromCloudTrail, "A port was opened to the internet", "ec2 AuthorizeSecurityGroupIngress", cloudTrailCall(feed.OpenSecurityGroup)},
	{"forged", fromInvalid, "A forged webhook", "invalid signature: answered with 401 and not stored", forged},
	{"unknown-shape", fromInvalid, "A webhook with an unknown format", "valid signature: stored and reported as undecodable", unknownShape},
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

// alertChoices returns the alerts of the sources with a URL.
func (p *Page) alertChoices() []alertChoice {
	return slices.DeleteFunc(slices.Clone(alerts), func(c alertChoice) bool { return c.url(p) == "" })
}

func (c alertChoice) url(p *Page) string {
	if c.From == fromCloudTrail {
		return p.cfg.CloudTrail.URL
	}
	return p.cfg.Sentry.URL
}

// alertKey identifies an alert. Its copies have consecutive numbers.
type alertKey struct {
	alert string
	seed  uint64
}

// sendLog is the result of one request to send an alert.
type sendLog struct {
	At      time.Time      `json:"at"`
	Alert   string         `json:"alert"`
	Seed    uint64         `json:"seed"`
	Sent    int            `json:"sent"`
	Answers map[string]int `json:"answers"` // number of responses by HTTP status
	Lost    int            `json:"lost"`    // deliveries without a response in time
	Last    string         `json:"last,omitempty"`
	Outcome string         `json:"outcome,omitempty"` // what the app did with the last accepted delivery, as a phrase
	TookMS  int64          `json:"took_ms"`

	accepted []byte // body of the last accepted delivery
}

const (
	maxCopies   = 10_000
	maxSenders  = 16
	maxSendLogs = 200
)

// raiseAlert sends copies of an alert with up to maxSenders concurrent senders.
// Without a seed it sends a new alert. With the seed of an earlier alert it
// sends more copies of that alert.
func (p *Page) raiseAlert(r *http.Request, in struct {
	Alert  string  `json:"alert"`
	Copies int     `json:"copies"`
	Seed   *uint64 `json:"seed"`
}) (any, error) {
	list := p.alertChoices()
	i := slices.IndexFunc(list, func(c alertChoice) bool { return c.ID == in.Alert })
	if i < 0 {
		return nil, notFound("unknown alert " + strconv.Quote(in.Alert))
	}
	copies := max(1, in.Copies)
	if copies > maxCopies {
		return nil, badRequest(fmt.Sprintf("too many copies, send at most %d in one request", maxCopies))
	}
	seed, first := p.reserveCopies(in.Alert, in.Seed, copies)
	s := p.deliver(r.Context(), list[i], seed, first, copies)
	if p.cfg.Outcome != nil && s.accepted != nil {
		s.Outcome = p.outcome(r.Context(), s.accepted)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sendLogs) == maxSendLogs {
		p.sendLogs = slices.Delete(p.sendLogs, 0, 1)
	}
	p.sendLogs = append(p.sendLogs, s)
	p.touch()
	return s, nil
}

// outcomeTimeout is how long a request to send an alert waits for the decision of the
// app.
const outcomeTimeout = 8 * time.Second

// outcome returns what the app did with a delivery.
func (p *Page) outcome(ctx context.Context, body []byte) string {
	ctx, cancel := context.WithTimeout(ctx, outcomeTimeout)
	defer cancel()
	text, err := p.cfg.Outcome(ctx, body)
	if err != nil {
		return "not decided yet. Open the log, or type /incident alerts"
	}
	return text
}

// reserveCopies reserves numbers for the next copies of an alert. It returns the
// seed and the first number.
func (p *Page) reserveCopies(alert string, given *uint64, copies int) (seed uint64, first int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if given != nil {
		seed = *given
	} else {
		seed = p.seed
		p.seed++
	}
	t := alertKey{alert, seed}
	first = p.copiesSent[t]
	p.copiesSent[t] = first + copies
	return seed, first
}

func (p *Page) deliver(ctx context.Context, c alertChoice, seed uint64, first, copies int) sendLog {
	out := sendLog{At: p.cfg.Now(), Alert: c.ID, Seed: seed, Answers: map[string]int{}}
	began := time.Now() // real time, because cfg.Now may be a simulated clock
	numbers := make(chan int)
	var mu sync.Mutex
	var work sync.WaitGroup
	for range min(maxSenders, copies) {
		work.Go(func() {
			for n := range numbers {
				for _, d := range c.deliveries(p, seed, feed.Copy{N: n}) {
					a, err := p.send(ctx, c, d)
					mu.Lock()
					out.add(d, a, err)
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

func (p *Page) send(ctx context.Context, c alertChoice, d feed.Delivery) (feed.Answer, error) {
	if c.From == fromCloudTrail {
		return p.cfg.CloudTrail.Send(ctx, d)
	}
	return p.cfg.Sentry.Send(ctx, d)
}

func (s *sendLog) add(d feed.Delivery, a feed.Answer, err error) {
	s.Sent++
	if err != nil {
		s.Lost++
		s.Last = err.Error()
		return
	}
	s.Answers[strconv.Itoa(a.Status)]++
	s.Last = string(bytes.TrimSpace([]byte(a.Body)))
	if a.Status == http.StatusAccepted {
		s.accepted = d.Body
	}
}
