//go:build !race

package main_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
)

// The crash tests run the real binary in a separate process against the sandbox.
// They kill the process, or make its disk, its database, Slack or PagerDuty fail.
// The senders of alerts record the responses independently of the bot.

// fullSize selects the test sizes required for a release.
var fullSize = os.Getenv("TOCSIN_TEST_HEAVY") == "1"

// buildBinary builds the binary once per test process. A shell removes its folder
// when its standard input ends. The kernel closes the pipe when this process ends,
// even after a crash. TOCSIN_TEST_BINARY names another binary to test instead.
var buildBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TOCSIN_TEST_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "tocsin-binary-")
	if err != nil {
		return "", err
	}
	in, out, err := os.Pipe()
	if err != nil {
		return "", err
	}
	cleanup := exec.Command("/bin/sh", "-c", `cat >/dev/null; rm -rf "$1"`, "cleanup", dir)
	cleanup.Stdin, cleanup.SysProcAttr = in, &syscall.SysProcAttr{Setpgid: true}
	if err := cleanup.Start(); err != nil {
		return "", err
	}
	_ = in.Close()
	cleanupPipes = append(cleanupPipes, out)
	binary := filepath.Join(dir, "tocsin")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
})

// cleanupPipes references the write end of the pipe, which must stay open until
// this process ends.
var cleanupPipes []*os.File

// botProcess is a bot in a separate process, with the sandbox around it.
type botProcess struct {
	t          *testing.T
	binary     string
	dir        string
	url        string // base URL of the bot
	telemetry  string // address of /metrics and /readyz
	config     string // configuration file
	keyset     string
	socket     string
	company    *company.Company
	pagerProxy *faultProxy // proxy between the bot and PagerDuty

	database string // configured URL
	db       *sql.DB

	mu   sync.Mutex
	proc *childProcess

	stderr *os.File // standard error of the next process, or nil for log
	log    *os.File
}

// childProcess is one run of the bot.
type childProcess struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed after the process has ended
	err   error
}

// configChange changes a configuration before it is written.
type configChange func(config map[string]any)

// startBot starts the bot with a new keyset and configuration, and waits until it is
// ready. It stops the bot at the end of the test.
func startBot(t *testing.T, database string, o company.Options, changes ...configChange) *botProcess {
	t.Helper()
	binary, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := &botProcess{t: t, binary: binary, dir: t.TempDir(), database: database}
	s.config, s.keyset, s.socket = filepath.Join(s.dir, "tocsin.yaml"), filepath.Join(s.dir, "keyset"), filepath.Join(s.dir, "control.sock")
	if s.company, err = company.Open(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.company.Close() })
	s.pagerProxy = newFaultProxy(t, s.company.PageURL)
	s.url, s.telemetry = "http://"+freeAddress(t), freeAddress(t)
	if s.log, err = os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the bot's log:\n%s", tail(s.logText(), 2500))
		}
		_ = s.log.Close()
	})
	if _, err := s.run("keys", "create", s.keyset); err != nil {
		t.Fatal(err)
	}
	config := s.configuration(o.HTTP)
	for _, change := range changes {
		change(config)
	}
	s.writeConfig(config)
	s.company.Connect(s.url)
	t.Cleanup(s.kill)
	s.start()
	return s
}

// configuration returns an ordinary configuration with the sandbox's addresses.
func (s *botProcess) configuration(http bool) map[string]any {
	c := s.company
	host, port, err := net.SplitHostPort(c.MailAt)
	if err != nil {
		s.t.Fatal(err)
	}
	slack := map[string]any{"bot_token": company.BotToken, "api_url": c.ChatURL + "/api/", "announce_channel": company.AnnounceChannel}
	if http {
		slack["signing_secret"] = company.SigningSecret
	} else {
		slack["app_token"] = company.AppToken
	}
	number, _ := strconv.Atoi(port)
	me, err := user.Current()
	if err != nil {
		s.t.Fatal(err)
	}
	departments, teams, people := map[string]any{}, map[string]any{}, []any{}
	members := map[string][]string{}
	for n, p := range c.People {
		person := map[string]any{"name": p.Name, "email": p.Email, "slack": p.ID}
		if p.Pager != "" {
			person["pagerduty"] = p.Pager
		}
		if n == 0 {
			person["local"] = me.Username // the first engineer is the user who runs the tests
		}
		people = append(people, person)
		members[p.Department] = append(members[p.Department], p.Email)
	}
	for name, list := range members {
		team := map[string]any{"members": list, "head": list[0]}
		if name == "payments" {
			teams[name] = team
		} else {
			departments[name] = team
		}
	}
	return map[string]any{
		"listen": strings.TrimPrefix(s.url, "http://"), "database": s.database, "keyset_file": s.keyset, "control_socket": s.socket,
		"replica_id": "test", "time_zone": "Europe/Paris", "slack": slack,
		"pagerduty": map[string]any{"events_url": s.pagerProxy.url},
		"mail": map[string]any{"host": host, "port": number, "tls": "none", "from": "tocsin@payroll.example",
			"postmortems": []string{company.EveryoneMail}},
		"people": people, "departments": departments, "teams": teams,
		"escalation": map[string]any{"escalate_after": "1h", "ack_timeout": "2h", "steps": []any{
			map[string]any{"pagerduty": map[string]any{"routing_key": company.RoutingKey()}},
			map[string]any{"mail": map[string]any{"to": []string{company.EmergencyMail}}},
			map[string]any{"slack_group": company.EmergencyGroup}}},
		"sources": map[string]any{"sentry": map[string]any{"client_secrets": []string{company.SentrySecret}},
			"cloudtrail": map[string]any{"api_keys": []string{company.TrailKey}},
			"pagerduty":  map[string]any{"webhook_secrets": []string{company.PagerSecret}}},
		"routing": []any{map[string]any{"when": `source == "cloudtrail"`, "open": "sev2", "playbook": "leaked-aws-credentials"},
			map[string]any{"when": `source == "sentry"`, "open": "sev1", "playbook": "data-exposure"},
			map[string]any{"when": "true", "watch": true}},
		"sign_off":  map[string]any{"require": "any"},
		"storm":     map[string]any{"incidents": 0}, // every alert may open an incident
		"telemetry": map[string]any{"log_level": "debug", "listen": s.telemetry},
	}
}

// writeConfig writes the configuration file as JSON, which is valid YAML.
func (s *botProcess) writeConfig(config map[string]any) {
	s.t.Helper()
	raw, err := json.MarshalIndent(config, "", "  ")
	if err == nil {
		err = os.WriteFile(s.config, raw, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// updateConfig applies change to the configuration file.
func (s *botProcess) updateConfig(change configChange) {
	s.t.Helper()
	raw, err := os.ReadFile(s.config)
	config := map[string]any{}
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	change(config)
	s.writeConfig(config)
}

// startProcess starts a bot that dies with this process. The kernel sends the signal
// when the thread that started the child ends, so a goroutine locks that thread.
func (s *botProcess) startProcess() *childProcess {
	s.t.Helper()
	p := &childProcess{cmd: exec.Command(s.binary, "serve", "-c", s.config), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = s.dir, s.log, s.log
	if s.stderr != nil {
		p.cmd.Stderr = s.stderr
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	return p
}

// start starts the bot and waits until it is ready.
func (s *botProcess) start() {
	s.t.Helper()
	p := s.startProcess()
	// The bot reports readiness only at /readyz, so poll it.
	s.waitFor(60*time.Second, "the bot to be ready", func() bool {
		select {
		case <-p.ended:
			s.t.Fatalf("bot exited during its start: %v\n%s", p.err, tail(s.logText(), 3000))
		default:
		}
		status, _ := s.httpGet("/readyz")
		return status == http.StatusOK && (!s.socketMode() || s.company.Chat.Connections() > 0)
	})
}

func (s *botProcess) socketMode() bool { return s.company.Chat.Config().Mode == chat.ModeSocket }

func (s *botProcess) current() *childProcess {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// kill sends SIGKILL and waits until the process has ended.
func (s *botProcess) kill() {
	if p := s.current(); p != nil {
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// stop sends SIGTERM and requires the bot to exit without an error within 40 s.
func (s *botProcess) stop() {
	s.t.Helper()
	p := s.current()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		if p.err != nil {
			s.t.Errorf("bot stopped with %v", p.err)
		}
	case <-time.After(40 * time.Second):
		s.kill()
		s.t.Error("bot did not stop within 40 s of SIGTERM")
	}
}

// httpGet requests a path of the bot. Without a response, status is 0 and body is
// the error.
func (s *botProcess) httpGet(path string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	from := s.url
	if path == "/metrics" || path == "/readyz" {
		from = "http://" + s.telemetry
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	raw, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(raw)
}

// waitFor polls a condition of another process until it is true. It fails the test
// after timeout.
func (s *botProcess) waitFor(timeout time.Duration, what string, condition func() bool) {
	s.t.Helper()
	if !eventually(timeout, condition) {
		s.t.Fatalf("waited %v for %s", timeout, what)
	}
}

// eventually polls condition every 20 ms and reports whether it became true before
// the timeout.
func eventually(timeout time.Duration, condition func() bool) bool {
	deadline := time.After(timeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			return condition()
		case <-tick.C:
		}
	}
	return true
}

// run runs a subcommand with the bot's configuration and returns its output.
func (s *botProcess) run(args ...string) (string, error) {
	cmd := exec.Command(s.binary, append(args, "-c", s.config)...)
	cmd.Dir = s.dir
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("tocsin %s: %w: %s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), nil
}

// mustRun runs a subcommand and fails the test if it fails.
func (s *botProcess) mustRun(args ...string) string {
	s.t.Helper()
	out, err := s.run(args...)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// sendCommand sends a command over the control socket, as the command line does.
func (s *botProcess) sendCommand(command string) (control.Reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var reply control.Reply
	err := control.NewClient(s.socket).Do(ctx, "incident", control.Request{Command: command}, &reply)
	return reply, err
}

// view returns a complete incident.
func (s *botProcess) view(id incident.ID) incident.View {
	s.t.Helper()
	reply, err := s.sendCommand("status " + id.String())
	if err != nil {
		s.t.Fatalf("status %s: %v", id, err)
	}
	return *reply.View
}

// logText returns the output of all runs of the bot.
func (s *botProcess) logText() string {
	raw, _ := os.ReadFile(s.log.Name())
	return string(raw)
}

// tail returns at most the last n bytes of text.
func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}

// freeAddress returns a loopback address with a port that is reserved for the test.
func freeAddress(t *testing.T) string {
	t.Helper()
	fd, err := reservePort(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	address, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", address.(*syscall.SockaddrInet4).Port)
}

// openDB returns a connection to the database of the running bot.
func (s *botProcess) openDB() *sql.DB {
	s.t.Helper()
	if s.db != nil {
		return s.db
	}
	driver, dsn := "pgx", s.database
	if path, ok := strings.CutPrefix(s.database, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if driver == "pgx" {
		db.SetMaxIdleConns(0) // an outage of the database cuts idle connections
	}
	s.t.Cleanup(func() { _ = db.Close() })
	s.db = db
	return db
}

// queryInt returns the single number of a query.
func (s *botProcess) queryInt(query string) int {
	s.t.Helper()
	var n int
	if err := s.openDB().QueryRow(query).Scan(&n); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// queryRows returns the rows of a query with all columns as text.
func (s *botProcess) queryRows(query string) [][]string {
	s.t.Helper()
	rows, err := s.openDB().Query(query)
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		s.t.Fatal(err)
	}
	var out [][]string
	for rows.Next() {
		row, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for n := range row {
			into[n] = &row[n]
		}
		if err := rows.Scan(into...); err != nil {
			s.t.Fatal(err)
		}
		texts := make([]string, len(columns))
		for n := range row {
			texts[n] = row[n].String
		}
		out = append(out, texts)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// backlogQuery counts unhandled deliveries, and effects that are available or
// pending. It excludes timers, which are meant to wait.
const backlogQuery = `SELECT (SELECT count(*) FROM inbox WHERE handled_at IS NULL) +
	(SELECT count(*) FROM effects WHERE state IN ('available', 'pending') AND kind <> 'deadline')`

// waitIdle waits until the backlog is empty. It polls the database, because the
// commit of the last effect is visible only there.
func (s *botProcess) waitIdle(timeout time.Duration) {
	s.t.Helper()
	if eventually(timeout, func() bool { return s.queryInt(backlogQuery) == 0 }) {
		return
	}
	for _, row := range s.queryRows(`SELECT key, state, lane, after FROM effects WHERE state IN ('available', 'pending') AND kind <> 'deadline' ORDER BY id LIMIT 40`) {
		s.t.Log("effect: ", row)
	}
	for _, row := range s.queryRows(`SELECT id, state, attempt, kind, args, scheduled_at FROM river_job WHERE state NOT IN ('completed') ORDER BY id LIMIT 20`) {
		s.t.Log("job: ", row)
	}
	s.t.Fatalf("waited %v for an empty backlog", timeout)
}

// checkVerify requires `tocsin verify` to succeed.
func (s *botProcess) checkVerify() {
	s.t.Helper()
	out, err := s.run("verify")
	if err != nil {
		s.t.Errorf("%v\n%s", err, out)
	}
}

// faultProxy is an HTTP proxy between the bot and an external system. It can run a
// hook after a call took effect and before the bot gets the response, or replace
// the response.
type faultProxy struct {
	url string

	mu        sync.Mutex
	afterCall func(method, body string)
	override  func(r *http.Request, body string) (status int, text string) // replaces the response (status 0 forwards the request, -1 closes the connection)
}

func newFaultProxy(t *testing.T, upstream string) *faultProxy {
	t.Helper()
	to, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	w := &faultProxy{}
	type key struct{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // the Slack sandbox returns upload URLs with this host
		},
		ModifyResponse: func(res *http.Response) error {
			if hook := w.getAfterCall(); hook != nil && res.StatusCode < 300 {
				body, _ := res.Request.Context().Value(key{}).(string)
				hook(res.Request.URL.Path, body)
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // close the connection as the external system did
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.mu.Lock()
		answer := w.override
		w.mu.Unlock()
		if answer != nil {
			status, text := answer(r, string(raw))
			if status < 0 {
				panic(http.ErrAbortHandler)
			}
			if status > 0 {
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(status)
				_, _ = io.WriteString(rw, text)
				return
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		proxy.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), key{}, string(raw))))
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	w.url = "http://" + l.Addr().String()
	return w
}

func (w *faultProxy) getAfterCall() func(method, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.afterCall
}

func (w *faultProxy) setAfterCall(f func(method, body string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.afterCall = f
}

func (w *faultProxy) setOverride(f func(r *http.Request, body string) (int, string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.override = f
}

// slash runs /incident as a person in a channel and returns the ephemeral reply.
func (s *botProcess) slash(who company.Person, channel, text string) (string, error) {
	m, err := s.company.Chat.Act(who.ID).Command(channel, "/incident", text)
	if err != nil {
		return "", err
	}
	if m == nil {
		return "", errors.New("no reply")
	}
	return m.Text + string(m.Blocks), nil
}

// isRecorded reports whether a reply confirms that the command was recorded.
func isRecorded(reply string, err error) bool {
	return err == nil && strings.Contains(reply, "white_check_mark")
}

// slashUntilRecorded repeats a command until the bot confirms or rejects it. It
// reports whether the command was confirmed, and is safe for concurrent use.
func (s *botProcess) slashUntilRecorded(who company.Person, channel, text string) bool {
	var reply string
	var err error
	for range 40 {
		if reply, err = s.slash(who, channel, text); isRecorded(reply, err) {
			return true
		}
		retry := strings.Contains(strings.ToLower(reply), "try again") || strings.Contains(reply, "Run the command again")
		if err == nil && !retry { // the bot rejected the command
			break
		}
		eventually(30*time.Second, func() bool { status, _ := s.httpGet("/readyz"); return status == http.StatusOK })
	}
	s.t.Errorf("%s: %q: got reply %q, %v", who.Name, text, reply, err)
	return false
}

// channelOf waits up to a minute for an incident's channel.
func (s *botProcess) channelOf(id incident.ID) chat.Channel {
	s.t.Helper()
	name := strings.ToLower(id.String())
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var found chat.Channel
	err := s.company.Chat.WaitFor(ctx, func() (ok bool) {
		found, ok = s.company.Chat.Channel(name)
		return ok
	})
	if err != nil {
		s.t.Errorf("get channel %s: %v", name, err)
	}
	return found
}
