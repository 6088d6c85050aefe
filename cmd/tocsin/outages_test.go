//go:build !race

package main_test

import (
	"database/sql"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// The script .ci/outages sets these flags.
var (
	outageTime = flag.Duration("tocsin.outage", 0, "minimum duration of each outage of TestOutages")
	allOutages = flag.Bool("tocsin.outages", false, "TestOutages takes away each system in each way, pairs of systems and all of them, and prints a table")
)

// TestOutages takes outside systems and the database away and gives them back, while an
// incident opens and while others are in the middle: see [moments]. During the outage,
// /readyz, the log and `tocsin effects` must name it, and pages must go out by a way that
// works. Afterwards, every incident has one channel with its card, and every effect was
// completed once.
func TestOutages(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIASANDBOX", "AWS_SECRET_ACCESS_KEY": "sandbox-secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(name, value)
	}
	cases := outagesInCI
	if *allOutages {
		cases = everyOutage()
	}
	var mu sync.Mutex
	var table []string
	t.Run("outages", func(t *testing.T) {
		for _, ways := range cases {
			t.Run(strings.Join(ways, " and "), func(t *testing.T) {
				t.Parallel()
				rows := runOutage(t, ways)
				mu.Lock()
				defer mu.Unlock()
				table = append(table, rows...)
			})
		}
	})
	if *allOutages {
		slices.Sort(table)
		fmt.Printf("| outage | moment | channel after | pending completed once | health | log | people |\n|---|---|---|---|---|---|---|\n%s\n", strings.Join(table, "\n"))
	}
}

// outagesInCI take each system away at least once. Pairs and other ways are left to the
// complete test.
var outagesInCI = [][]string{
	{"Slack refuses the token", "PagerDuty refuses the routing key", "mail refuses the password", "S3 denies access"},
	{"Slack refuses connections", "PagerDuty refuses connections"},
	{"mail refuses connections", "AWS refuses connections"},
	{"PostgreSQL refuses connections"},
	{"SQLite is locked", "Slack answers 500"},
}

// everyOutage returns each way alone, pairs of systems, and all systems together.
func everyOutage() (cases [][]string) {
	bySystem := map[string][]string{}
	for _, w := range outageWays {
		cases = append(cases, []string{w.name})
		bySystem[w.system] = append(bySystem[w.system], w.name)
	}
	systems := []string{systemChat, systemPager, systemMail, systemAWS, systemSQLite, systemPostgres}
	nth := func(system string, n int) string { return bySystem[system][n%len(bySystem[system])] }
	n := 0
	for i, a := range systems {
		for _, b := range systems[i+1:] {
			if b != systemPostgres || a != systemSQLite {
				cases = append(cases, []string{nth(a, n), nth(b, n+1)})
				n++
			}
		}
	}
	for n := range 4 {
		outside := []string{nth(systemChat, n), nth(systemPager, n), nth(systemMail, n), nth(systemAWS, n)}
		cases = append(cases, outside, append(slices.Clone(outside), nth([]string{systemSQLite, systemPostgres}[n%2], n)))
	}
	return cases
}

// outageRun is one run of [TestOutages].
type outageRun struct {
	*botProcess
	ways    []outageWay
	proxies map[string]*tcpProxy // by system
	aws     *aws.Account
	disk    string // folder of the SQLite file
	admin   string // URL of PostgreSQL beside the proxy

	lock    *sql.Conn // locks the SQLite file
	alert   feed.Call // at the opening
	tries   int       // to write the note
	closing string    // channel of the incident that closes
	digest  string    // of its record

	began  time.Time
	health string            // what /readyz returned during the outage
	waited map[string]string // what `tocsin effects` listed, by system
	logged string            // a line of the log about an effect

	mu       sync.Mutex
	ended    time.Time           // zero before the end
	problems map[string][]string // by moment
	rejected int                 // alerts and commands that were not accepted during the outage
	heard    map[string][]string // what people saw, by moment
}

func runOutage(t *testing.T, names []string) (rows []string) {
	r := &outageRun{alert: newStory(0).calls[1], proxies: map[string]*tcpProxy{}, waited: map[string]string{}, problems: map[string][]string{}, heard: map[string][]string{}}
	for _, name := range names {
		r.ways = append(r.ways, outageWays[slices.IndexFunc(outageWays, func(w outageWay) bool { return w.name == name })])
	}
	r.startRun(t)
	for _, m := range moments {
		if m.prepare != nil {
			m.prepare(r)
		}
	}
	r.waitIdle(time.Minute)
	r.began = time.Now()
	for _, w := range r.ways {
		w.take(r)
	}
	acts := r.act()
	r.watch()
	<-time.After(time.Until(r.began.Add(*outageTime)))
	r.checkNotices()
	for _, w := range r.ways {
		w.give(r)
	}
	r.mu.Lock()
	r.ended = time.Now()
	r.mu.Unlock()
	acts.Wait()
	r.recover()
	return r.check()
}

// startRun starts a bot with a proxy before each system.
func (r *outageRun) startRun(t *testing.T) {
	database := ""
	if r.isAway(systemPostgres) {
		r.admin = storetest.Postgres(t)
		u, err := url.Parse(r.admin)
		if err != nil {
			t.Fatal(err)
		}
		r.proxies[systemPostgres] = newTCPProxy(t, u.Host)
		u.Host = r.proxies[systemPostgres].addr
		database = u.String()
	} else {
		database = r.openDisk(t)
	}
	r.aws = aws.New(aws.Config{})
	t.Cleanup(func() { _ = r.aws.Close() })
	endpoint, err := r.aws.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.aws.AddQueue(aws.Queue{Name: "dead"})
	r.aws.AddQueue(aws.Queue{Name: "trail", MaxReceiveCount: 1000, DeadLetter: "dead", Visibility: 2 * time.Second})
	r.aws.AddBucket(aws.Bucket{Name: auditLogs, Notify: "trail"})
	through := func(system, address string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		r.proxies[system] = newTCPProxy(t, u.Host)
		u.Host = r.proxies[system].addr
		return u.String()
	}
	o := company.Options{Seed: 61, HTTP: true, Limits: chat.Limits{Off: true}, MailUsername: "tocsin", MailPassword: "sandbox-password"}
	r.botProcess = startBot(t, database, o, func(config map[string]any) {
		slack, pagerduty, mail := config["slack"].(map[string]any), config["pagerduty"].(map[string]any), config["mail"].(map[string]any)
		slack["api_url"] = through(systemChat, slack["api_url"].(string))
		pagerduty["events_url"] = through(systemPager, pagerduty["events_url"].(string))
		host, port, err := net.SplitHostPort(strings.TrimPrefix(through(systemMail, fmt.Sprintf("tcp://%s:%d", mail["host"], mail["port"])), "tcp://"))
		if err != nil {
			t.Fatal(err)
		}
		mail["host"] = host
		mail["port"], _ = strconv.Atoi(port)
		mail["username"], mail["password"] = o.MailUsername, o.MailPassword
		config["sources"].(map[string]any)["trail"] = map[string]any{"queue_url": r.aws.QueueURL("trail"), "region": "eu-west-1", "endpoint": through(systemAWS, endpoint)}
	})
}

// isAway reports whether a system is taken away in this run.
func (r *outageRun) isAway(systems ...string) bool {
	return slices.ContainsFunc(r.ways, func(w outageWay) bool { return slices.Contains(systems, w.system) })
}

func (r *outageRun) databaseAway() bool { return r.isAway(systemSQLite, systemPostgres) }

// fail records a problem of a moment.
func (r *outageRun) fail(moment, format string, args ...any) {
	r.t.Helper()
	r.t.Errorf(moment+": "+format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems[moment] = append(r.problems[moment], fmt.Sprintf(format, args...))
}

// saw records what people saw at a moment.
func (r *outageRun) saw(moment, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard[moment] = append(r.heard[moment], fmt.Sprintf(format, args...))
}

// act starts what people and senders do at each moment. A sender and a person repeat
// what was not accepted.
func (r *outageRun) act() *sync.WaitGroup {
	var acts sync.WaitGroup
	for _, m := range moments {
		acts.Go(func() { m.act(r, m.name) })
	}
	return &acts
}

// command gives a command until it is recorded, and returns the number of times it was
// given.
func (r *outageRun) command(moment, text string) (tries int) {
	return r.insist(moment, text, func() error {
		_, err := r.sendCommand(text)
		return err
	})
}

// slashCommand is [outageRun.command] for a command in Slack.
func (r *outageRun) slashCommand(moment string, who company.Person, channel, text string) (tries int) {
	return r.insist(moment, text, func() error {
		reply, err := r.slash(who, channel, text)
		if !isRecorded(reply, err) {
			return fmt.Errorf("%s %w", tail(reply, 200), err)
		}
		return nil
	})
}

// seldom is [eventually] for conditions that cost the bot more than a moment.
func seldom(timeout time.Duration, condition func() bool) bool {
	next := time.Now()
	return eventually(timeout, func() bool {
		if time.Now().Before(next) {
			return false
		}
		ok := condition()
		next = time.Now().Add(250 * time.Millisecond)
		return ok
	})
}

// insist repeats what is not accepted during the outage of the database. It must be
// accepted a minute after it at the latest.
func (r *outageRun) insist(moment, what string, do func() error) (tries int) {
	var last error
	accepted := seldom(*outageTime+5*time.Minute, func() bool {
		tries++
		if last = do(); last == nil {
			return true
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rejected++
		return !r.databaseAway() || !r.ended.IsZero() && time.Since(r.ended) > time.Minute
	})
	if last != nil || !accepted {
		r.fail(moment, "%s was not accepted after %d tries: %v", what, tries, last)
	}
	return tries
}

// deliver sends an alert until it is accepted. An alert that is not accepted must be
// answered 503.
func (r *outageRun) deliver(moment string, call feed.Call, n int) {
	r.insist(moment, "alert", func() error {
		answer, err := r.company.Trail.Deliver(r.t.Context(), call, feed.Copy{N: n})
		switch {
		case err != nil:
			return err
		case answer.Status/100 == 2:
			return nil
		case answer.Status != 503 || !strings.Contains(answer.Body, "database") && !strings.Contains(answer.Body, "again"):
			r.fail(moment, "alert: got status %d %s, want 202 or 503", answer.Status, tail(answer.Body, 200))
		}
		return fmt.Errorf("status %d", answer.Status)
	})
}

// paged reports whether a page of a round reached people, and by which way.
func (r *outageRun) paged(id incident.ID, round int) (way string, ok bool) {
	if len(r.company.Pager.ByKey(fmt.Sprintf("%s/%d", id, round))) > 0 {
		return "PagerDuty", true
	}
	for _, m := range r.company.Mail.For(company.EmergencyMail) {
		if strings.HasPrefix(m.MessageID, fmt.Sprintf("%s.page.%d.", id, round)) {
			return "mail", true
		}
	}
	for _, c := range r.company.Chat.Channels("") {
		for _, m := range everyMessage(r.company.Chat, c.ID) {
			if key, _ := messageKey(m); strings.HasPrefix(key, fmt.Sprintf("%s/page/%d/", id, round)) {
				return "Slack", true
			}
		}
	}
	return "", false
}
