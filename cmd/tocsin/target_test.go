//go:build !race

package main_test

import (
	"bufio"
	"bytes"
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
)

// target is a bot under load. It uses the configuration and the queries of
// [botProcess], which belongs to a test, whereas a target belongs to a benchmark.
type target struct {
	*botProcess
	b      *testing.B
	readDB *sql.DB // the bot's database, opened for reading
}

// startTarget starts the bot with an ordinary configuration that logs as in
// production, and requires a database that syncs every commit to a disk.
func startTarget(b *testing.B, changes ...configChange) *target {
	b.Helper()
	return startTargetOn(b, "", company.Options{Seed: 3, Limits: chat.Limits{Off: true}}, changes...)
}

// startTargetOn is startTarget with a database, or SQLite in a new file for "", and the
// options of the sandbox.
func startTargetOn(b *testing.B, database string, o company.Options, changes ...configChange) *target {
	b.Helper()
	binary, err := buildBinary()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	requireDisk(b, dir)
	s := &botProcess{binary: binary, dir: dir, database: cmp.Or(database, "sqlite:"+filepath.Join(dir, "tocsin.db")), config: filepath.Join(dir, "tocsin.yaml"),
		keyset: filepath.Join(dir, "keyset"), socket: filepath.Join(dir, "control.sock")}
	p := &target{botProcess: s, b: b}
	if s.company, err = company.Open(o); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.company.Close() })
	s.pagerProxy = &faultProxy{url: s.company.PageURL}
	for _, address := range []*string{&s.url, &s.telemetry} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		*address = l.Addr().String()
		_ = l.Close()
	}
	s.url = "http://" + s.url
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.log.Close() })
	if _, err := s.run("keys", "create", s.keyset); err != nil {
		b.Fatal(err)
	}
	config := s.configuration(o.HTTP)
	config["telemetry"] = map[string]any{"log_level": "info", "listen": s.telemetry}
	for _, change := range changes {
		change(config)
	}
	raw, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(s.config, raw, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	s.company.Connect(s.url)
	p.launchBot()
	driver, dsn := "pgx", s.database
	if path, ok := strings.CutPrefix(s.database, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=query_only(1)"
	}
	if p.readDB, err = sql.Open(driver, dsn); err != nil {
		b.Fatal(err)
	}
	p.readDB.SetMaxOpenConns(1)
	b.Cleanup(func() { _ = p.readDB.Close() })
	return p
}

// launchBot starts the bot, which dies with this process, and waits until it is
// ready and has logged synchronous=FULL.
func (p *target) launchBot() {
	p.b.Helper()
	proc := &childProcess{cmd: exec.Command(p.binary, "serve", "-c", p.config), ended: make(chan struct{})}
	proc.cmd.Dir, proc.cmd.Stdout, proc.cmd.Stderr = p.dir, p.log, p.log
	proc.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig is sent when the thread that started the child ends
		defer runtime.UnlockOSThread()
		defer close(proc.ended)
		err := proc.cmd.Start()
		started <- err
		if err == nil {
			proc.err = proc.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		p.b.Fatal(err)
	}
	p.proc = proc
	p.b.Cleanup(p.kill)
	p.requireWithin(time.Minute, "the bot to be ready", func() bool {
		select {
		case <-proc.ended:
			p.b.Fatalf("bot exited during its start: %v\n%s", proc.err, tail(p.logText(), 3000))
		default:
		}
		status, _ := p.httpGet("/readyz")
		return status == http.StatusOK && (!p.socketMode() || p.company.Chat.Connections() > 0)
	})
	if !strings.HasPrefix(p.database, "sqlite:") {
		return
	}
	mode := regexp.MustCompile(`engine=sqlite journal_mode=wal synchronous=FULL`).FindString(p.logText())
	if mode == "" {
		p.b.Fatalf("bot did not log synchronous=FULL:\n%s", tail(p.logText(), 3000))
	}
	p.b.Logf("bot logged %s, database in %s", mode, p.dir)
}

// requireWithin waits until condition is true. It fails the benchmark after d.
func (p *target) requireWithin(d time.Duration, what string, condition func() bool) {
	p.b.Helper()
	if !eventually(d, condition) {
		p.b.Fatalf("waited %v for %s\n%s", d, what, tail(p.logText(), 2000))
	}
}

func (p *target) queryNumber(query string) (n int) {
	p.b.Helper()
	if err := p.readDB.QueryRow(query).Scan(&n); err != nil {
		p.b.Fatalf("%s: %v", query, err)
	}
	return n
}

// requireDisk fails if dir is on a file system in memory.
func requireDisk(b *testing.B, dir string) {
	b.Helper()
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		b.Fatal(err)
	}
	if fs.Type == tmpfs || fs.Type == ramfs {
		b.Fatalf("%s is not on a disk; set TMPDIR to a folder on one", dir)
	}
}

// usage is the resource usage of the bot's process since its start.
type usage struct {
	cpu  time.Duration // user and system
	peak int64         // maximum resident memory in bytes
}

func (p *target) usage() usage {
	p.b.Helper()
	pid := strconv.Itoa(p.current().cmd.Process.Pid)
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		p.b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		p.b.Fatal(err)
	}
	var kb int64
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ = strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return usage{time.Duration(user+system) * 10 * time.Millisecond, kb << 10}
}

func loadAverage() string {
	raw, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(raw))[:3], " ")
}

// waitInboxEmpty waits until every delivery is handled, that is, counted in its
// incident.
func (p *target) waitInboxEmpty() {
	p.b.Helper()
	p.requireWithin(10*time.Minute, "every delivery to be handled", func() bool {
		return p.queryNumber("SELECT EXISTS (SELECT 1 FROM inbox WHERE handled_at IS NULL)") == 0
	})
}

const editsQuery = "SELECT count(*) FROM effects WHERE state IN ('available', 'pending') AND refresh"

// waitNoBacklog waits until the bot has no deliveries and no effects left to do,
// except the edits of cards and of first messages of threads, which are 40 a minute.
func (p *target) waitNoBacklog() {
	p.b.Helper()
	p.requireWithin(10*time.Minute, "an empty backlog", func() bool { return p.queryNumber(backlogQuery+" - ("+editsQuery+")") == 0 })
}

// rawRequest is the raw HTTP request of a delivery. The id goes between head and
// tail. With a secret it is a request of Sentry: the id goes into its body, because
// only the signed body makes a delivery unique.
type rawRequest struct {
	head, tail []byte
	secret     string
}

// signedRequests returns one signed alert per issue. The issues are spread over the
// projects.
func (p *target) signedRequests(issues, projects int) []rawRequest {
	out := make([]rawRequest, issues)
	for n := range out {
		i := feed.NewIssue(feed.DataLeak, uint64(n))
		i.ID, i.ShortID = strconv.Itoa(4_000_000+n), "LOAD-"+strconv.Itoa(n)
		i.Org, i.Project.Slug = "payroll", "project-"+strconv.Itoa(n%projects)
		out[n] = p.signedRequest(feed.SentryEventAlert(i, feed.Copy{N: n, At: time.Now(), PadKB: 7}))
	}
	return out
}

func (p *target) signedRequest(body []byte) rawRequest {
	d := p.company.Sentry.NewDelivery("event_alert", body, "")
	var head bytes.Buffer
	fmt.Fprintf(&head, "POST /hooks/sentry HTTP/1.1\r\nHost: %s\r\n", strings.TrimPrefix(p.url, "http://"))
	for name, values := range d.Header {
		if name != "Sentry-Hook-Signature" {
			fmt.Fprintf(&head, "%s: %s\r\n", name, values[0])
		}
	}
	return rawRequest{head.Bytes(), body, p.company.Sentry.Secret}
}

// rawConn is an HTTP connection to the bot.
type rawConn struct {
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

func (p *target) dial() (*rawConn, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		return nil, err
	}
	return &rawConn{conn, bufio.NewReader(conn), bufio.NewWriterSize(conn, 16<<10)}, nil
}

// post sends r with an id and reads the response.
func (m *rawConn) post(r rawRequest, id string) (status int, err error) {
	_, _ = m.out.Write(r.head)
	if r.secret == "" {
		_, _ = m.out.WriteString(id)
		_, _ = m.out.Write(r.tail)
	} else {
		body := append([]byte(`{"delivery":"`+id+`",`), r.tail[1:]...)
		fmt.Fprintf(m.out, "Sentry-Hook-Signature: %s\r\nContent-Length: %d\r\n\r\n%s", feed.SignSentry(r.secret, body), len(body), body)
	}
	if err := m.out.Flush(); err != nil {
		return 0, err
	}
	res, err := http.ReadResponse(m.in, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// postAll posts n deliveries over all connections. pick returns the request and id
// of the n-th delivery. It fails unless every delivery is accepted.
func (p *target) postAll(n int, pick func(n int) (rawRequest, string)) {
	p.b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, loadConnections)
	for range loadConnections {
		all.Go(func() {
			m, err := p.dial()
			if err != nil {
				errs <- err
				return
			}
			defer func() { _ = m.conn.Close() }()
			for {
				k := int(next.Add(1)) - 1
				if k >= n {
					return
				}
				r, id := pick(k)
				status, err := m.post(r, id)
				if err != nil || status != http.StatusAccepted {
					errs <- fmt.Errorf("delivery %s: status %d, %w", id, status, err)
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-errs:
		p.b.Fatal(err)
	default:
	}
}

// measure runs load and waits until every delivery is counted. It returns the
// alerts per second and the CPU time per alert in microseconds.
func (p *target) measure(what string, n int, load func()) (rate, micros float64) {
	p.b.Helper()
	before, began, average := p.usage(), time.Now(), loadAverage()
	load()
	accepted := time.Since(began)
	p.waitInboxEmpty()
	took := time.Since(began)
	p.waitNoBacklog()
	after := p.usage()
	rate = float64(n) / took.Seconds()
	micros = float64((after.cpu - before.cpu).Microseconds()) / float64(n)
	p.b.Logf("%s: %d in %v (accepted in %v): %.0f/s, %.0f µs of CPU each, peak memory %d MiB, load average before %s",
		what, n, took.Round(time.Millisecond), accepted.Round(time.Millisecond), rate, micros, after.peak>>20, average)
	return rate, micros
}

// checkCount compares the sum of all alert counters with the number of alerts sent.
func (p *target) checkCount(want int) {
	p.b.Helper()
	if n := p.queryNumber("SELECT coalesce(sum(count), 0) FROM alerts"); n != want {
		p.b.Errorf("got %d counted alerts, want %d", n, want)
	}
}
