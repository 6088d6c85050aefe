//go:build !race

package main_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/sandbox/company"
)

var (
	floodDuration = flag.Duration("tocsin.flood", 10*time.Second, "duration of each flood")
	floodRate     = flag.Int("tocsin.floodrate", 1500, "deliveries per second of the floods with a limited rate")
)

// BenchmarkOthersUnderFlood sends 20 deliveries per second from one source and
// measures the time to each 202: without a flood, during a flood with valid
// signatures from one sender of another source, and during a flood with bad signatures
// from 1,000 addresses. Each flood runs at full speed, and at a limited rate that
// leaves CPU time to spare. The flood runs in a separate process with the lowest
// priority, to use only CPU time that the bot and the measurement leave.
//
//	go test ./cmd/tocsin -run '^$' -bench OthersUnderFlood -benchtime 1x -tocsin.flood 60s
func BenchmarkOthersUnderFlood(b *testing.B) {
	for _, f := range []struct {
		name  string
		flood flood
	}{
		{"good", flood{Connections: loadConnections}},
		{"good-held-back", flood{Connections: loadConnections, Rate: *floodRate}},
		{"bad", flood{Connections: 1000, Bad: true}},
		{"bad-held-back", flood{Connections: 1000, Bad: true, Rate: *floodRate}},
	} {
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				p := startTarget(b)
				p.probe(time.Second) // warm up connections, statements and caches
				b.ReportMetric(p.measureLatency("alone", nil), "ms-p99-alone")
				b.ReportMetric(p.measureLatency("under the flood", &f.flood), "ms-p99-flood")
				p.waitInboxEmpty()
				b.ReportMetric(p.measureLatency("alone again", nil), "ms-p99-after")
				p.kill()
			}
		})
	}
}

// measureLatency measures during a flood, or without one if f is nil. It returns the
// 99th percentile in milliseconds.
func (p *target) measureLatency(name string, f *flood) float64 {
	p.b.Helper()
	var stop func() string
	if f != nil {
		f.To, f.RequestsFile = strings.TrimPrefix(p.url, "http://"), filepath.Join(p.dir, "requests")
		stop = p.startFlood(f)
	}
	before, began := p.usage(), time.Now()
	took := p.probe(*floodDuration)
	cpu := float64((p.usage().cpu - before.cpu).Milliseconds()) / float64(time.Since(began).Milliseconds()) * 100
	answers := "no flood"
	if stop != nil {
		answers = stop()
	}
	p.b.Logf("%s: %d responses, p50 %v p99 %v max %v, %s, bot used %.0f %% of a CPU and at most %d MiB, load average %s", name, len(took),
		quantile(took, .5), quantile(took, .99), took[len(took)-1].Round(100*time.Microsecond), answers, cpu, p.usage().peak>>20, loadAverage())
	return float64(quantile(took, .99).Microseconds()) / 1000
}

// probe sends 20 records per second to the CloudTrail endpoint, each on schedule even
// if others have no response yet. It returns the sorted response times.
func (p *target) probe(duration time.Duration) []time.Duration {
	p.b.Helper()
	const tick = 50 * time.Millisecond
	n := int(duration / tick)
	took, errs := make([]time.Duration, n), make(chan error, n)
	idle := make(chan *rawConn, n+1)
	var all sync.WaitGroup
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for k := range n {
		due := <-clock.C
		all.Go(func() {
			var m *rawConn
			select {
			case m = <-idle:
			default:
				var err error
				if m, err = p.dial(); err != nil {
					errs <- err
					return
				}
			}
			status, err := m.post(p.cloudTrailRequest(rand.Uint64()), "")
			took[k] = time.Since(due)
			if err == nil && status != http.StatusAccepted {
				err = fmt.Errorf("got status %d, want 202", status)
			}
			if err != nil {
				errs <- err
				return
			}
			idle <- m
		})
	}
	all.Wait()
	close(idle)
	for m := range idle {
		_ = m.conn.Close()
	}
	select {
	case err := <-errs:
		p.b.Errorf("measured source: %v", err)
	default:
	}
	slices.Sort(took)
	return took
}

// cloudTrailRequest returns the request with a CloudTrail record in its EventBridge
// envelope.
func (p *target) cloudTrailRequest(n uint64) rawRequest {
	id := fmt.Sprintf("%016x", n)
	body := `{"version":"0","id":"` + id + `","detail-type":"AWS API Call via CloudTrail","source":"aws.s3","account":"111122223333","time":"2026-11-20T03:00:00Z","region":"eu-west-1","detail":` +
		`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","userName":"ada","arn":"arn:aws:iam::111122223333:user/ada"},"eventTime":"2026-11-20T03:00:00Z","eventSource":"s3.amazonaws.com",` +
		`"eventName":"PutObject","awsRegion":"eu-west-1","eventID":"` + id + `","recipientAccountId":"111122223333","requestParameters":{"bucketName":"payslips"},"additionalEventData":{"pad":"` + strings.Repeat("x", 2000) + `"}}}`
	head := fmt.Sprintf("POST /hooks/cloudtrail HTTP/1.1\r\nHost: bot\r\nContent-Type: application/json\r\nX-Api-Key: %s\r\nContent-Length: %d\r\nX-Nothing: ", company.TrailKey, len(body))
	return rawRequest{head: []byte(head), tail: []byte("\r\n\r\n" + body)}
}

// flood configures the flooding process.
type flood struct {
	To           string
	RequestsFile string // file with the requests as JSON
	Connections  int
	Bad          bool // bad signatures, from a different address per connection
	Rate         int  // deliveries per second, 0 for full speed
}

// startFlood starts the flood. The returned function stops it and returns a summary
// of the responses.
func (p *target) startFlood(f *flood) (stop func() string) {
	p.b.Helper()
	requests := p.signedRequests(100, loadProjects)
	parts := make([][3][]byte, len(requests))
	for n, r := range requests {
		if f.Bad {
			r.secret = "wrong"
		}
		parts[n] = [3][]byte{r.head, r.tail, []byte(r.secret)}
	}
	raw, err := json.Marshal(parts)
	if err == nil {
		err = os.WriteFile(f.RequestsFile, raw, 0o600)
	}
	if err != nil {
		p.b.Fatal(err)
	}
	spec, _ := json.Marshal(f) // only strings, numbers and booleans
	cmd := exec.Command("nice", "-n", "19", os.Args[0])
	cmd.Env = append(os.Environ(), "TOCSIN_TEST_FLOOD="+string(spec))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		p.b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.b.Fatal(err)
	}
	output := bufio.NewReader(out)
	if line, err := output.ReadString('\n'); err != nil || line != "flooding\n" {
		p.b.Fatalf("start flood: got %q, %v", line, err)
	}
	return func() string {
		_ = in.Close() // stops the flood
		answers, _ := output.ReadString('\n')
		if err := cmd.Wait(); err != nil {
			p.b.Errorf("flood: %v", err)
		}
		return strings.TrimSpace(answers)
	}
}

// init runs the flood in a process started with TOCSIN_TEST_FLOOD.
func init() {
	var f flood
	if spec := os.Getenv("TOCSIN_TEST_FLOOD"); spec == "" {
		return
	} else if err := json.Unmarshal([]byte(spec), &f); err != nil {
		panic(err)
	}
	if err := f.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run floods until its standard input ends.
func (f *flood) run() error {
	raw, err := os.ReadFile(f.RequestsFile)
	if err != nil {
		return err
	}
	var requests [][3][]byte
	if err := json.Unmarshal(raw, &requests); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	var mu sync.Mutex
	answers, began := map[int]int{}, time.Now()
	var all sync.WaitGroup
	for c := range f.Connections {
		all.Go(func() {
			counts := f.runConnection(c, requests, ended)
			mu.Lock()
			defer mu.Unlock()
			for status, n := range counts {
				answers[status] += n
			}
		})
	}
	fmt.Println("flooding")
	all.Wait()
	took, out := time.Since(began).Seconds(), []string{}
	for status, n := range answers {
		out = append(out, fmt.Sprintf("%d: %.0f/s", status, float64(n)/took))
	}
	slices.Sort(out)
	fmt.Println("responses to the flood:", strings.Join(out, ", "))
	return nil
}

// runConnection floods over connection c until ended is closed. It returns the number
// of responses by status, and without a response under status 0.
func (f *flood) runConnection(c int, requests [][3][]byte, ended <-chan struct{}) map[int]int {
	answers := map[int]int{}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if f.Bad {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(c/250), byte(c%250+1))}
	}
	pause := time.Duration(0)
	if f.Rate > 0 {
		pause = time.Duration(f.Connections) * time.Second / time.Duration(f.Rate)
	}
	timer := time.NewTimer(pause * time.Duration(c) / time.Duration(f.Connections)) // spread the starts of the connections
	defer timer.Stop()
	var m *rawConn
	for n := 0; ; n++ {
		select {
		case <-ended:
			return answers
		default:
		}
		if f.Rate > 0 {
			select {
			case <-ended:
				return answers
			case due := <-timer.C:
				timer.Reset(time.Until(due.Add(pause)))
			}
		}
		if m == nil {
			conn, err := dialer.Dial("tcp", f.To)
			if err != nil {
				answers[0]++
				continue
			}
			m = &rawConn{conn, bufio.NewReader(conn), bufio.NewWriterSize(conn, 16<<10)}
		}
		r := requests[(c+n)%len(requests)]
		status, err := m.post(rawRequest{r[0], r[1], string(r[2])}, "flood-"+strconv.Itoa(c)+"-"+strconv.FormatInt(time.Now().UnixNano(), 36))
		answers[status]++
		if err != nil {
			_ = m.conn.Close()
			m = nil
		}
	}
}
