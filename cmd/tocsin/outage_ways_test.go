//go:build !race

package main_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
	"tocsin/store/storetest"
)

// The systems that [TestOutages] takes away.
const (
	systemChat     = incident.SystemSlack
	systemPager    = incident.SystemPagerDuty
	systemMail     = incident.SystemMail
	systemAWS      = "aws"
	systemSQLite   = "sqlite"
	systemPostgres = "postgres"
)

// outageParts are the names of the systems in /readyz.
var outageParts = map[string]string{systemChat: "Slack API", systemPager: "escalation step 1 (PagerDuty)", systemMail: "mail", systemAWS: "trail queue"}

// outageWay is a way in which a system fails.
type outageWay struct {
	name, system string
	take, give   func(r *outageRun)
}

// outageWays are all ways. To add one, add it to the list.
var outageWays = []outageWay{
	proxyOutage("Slack refuses connections", systemChat, proxyRefused),
	proxyOutage("Slack hangs", systemChat, proxySilent),
	{"Slack answers 500", systemChat, func(r *outageRun) {
		r.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	}, func(r *outageRun) { r.company.Chat.ClearFaults() }},
	{"Slack loses responses", systemChat, func(r *outageRun) {
		r.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultDropAfter})
	}, func(r *outageRun) { r.company.Chat.ClearFaults() }},
	answerOutage("Slack refuses the token", systemChat, answer.Answer{Body: slackError("invalid_auth")},
		"auth.test", "bookmarks.*", "chat.*", "conversations.*", "files.*", "pins.*", "usergroups.*", "users.*", "views.*"),
	createChannels.endedByAdministrator(),

	proxyOutage("PagerDuty refuses connections", systemPager, proxyRefused),
	proxyOutage("PagerDuty hangs", systemPager, proxySilent),
	{"PagerDuty answers 500", systemPager, func(r *outageRun) {
		r.company.Pager.SetFaults(pager.Rule{Fault: pager.FaultError})
	}, func(r *outageRun) { r.company.Pager.SetFaults() }},
	{"PagerDuty loses responses", systemPager, func(r *outageRun) {
		r.company.Pager.SetFaults(pager.Rule{Fault: pager.FaultDrop})
	}, func(r *outageRun) { r.company.Pager.SetFaults() }},
	answerOutage("PagerDuty refuses the routing key", systemPager, answer.Answer{Status: http.StatusBadRequest,
		Body: `{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}`}, "pagerduty.events"),

	proxyOutage("mail refuses connections", systemMail, proxyRefused),
	proxyOutage("mail hangs", systemMail, proxySilent),
	{"mail answers 451", systemMail, func(r *outageRun) {
		r.company.Mail.SetFaults(mailbox.Rule{Fault: mailbox.FaultTemporary})
	}, func(r *outageRun) { r.company.Mail.SetFaults() }},
	answerOutage("mail refuses the password", systemMail, answer.Answer{Status: 535, Body: "Authentication credentials invalid"}, "smtp.auth"),

	proxyOutage("AWS refuses connections", systemAWS, proxyRefused),
	proxyOutage("AWS hangs", systemAWS, proxySilent),
	awsOutage("S3 answers 500", aws.Fault{Op: "s3:GetObject", Status: 500, Code: "InternalError"}),
	awsOutage("S3 denies access", aws.Fault{Op: "s3:GetObject", Status: 403, Code: "AccessDenied"}),
	awsOutage("SQS denies access", aws.Fault{Op: "sqs:ReceiveMessage", Status: 403, Code: "AccessDenied"}),

	{"SQLite is locked", systemSQLite, (*outageRun).lockSQLite, (*outageRun).unlock},
	{"SQLite has a full disk", systemSQLite, func(r *outageRun) { fillDisk(r.t, filepath.Join(r.disk, "ballast")) }, func(r *outageRun) {
		if err := os.Remove(filepath.Join(r.disk, "ballast")); err != nil {
			r.t.Error(err)
		}
	}},

	proxyOutage("PostgreSQL refuses connections", systemPostgres, proxyRefused),
	proxyOutage("PostgreSQL hangs", systemPostgres, proxySilent),
	{"PostgreSQL restarts", systemPostgres, func(r *outageRun) {
		r.administer("ALTER DATABASE %s ALLOW_CONNECTIONS false", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'")
	}, func(r *outageRun) { r.administer("ALTER DATABASE %s ALLOW_CONNECTIONS true") }},
	{"PostgreSQL becomes a standby", systemPostgres, func(r *outageRun) {
		r.administer("ALTER DATABASE %s SET default_transaction_read_only = on", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'")
	}, func(r *outageRun) {
		r.administer("ALTER DATABASE %s RESET default_transaction_read_only", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'")
	}},
}

// createChannels is a refusal that only some effects see. /readyz reports it as effects
// that wait.
var createChannels = answerOutage("Slack refuses to create channels", systemChat, answer.Answer{Body: slackError("restricted_action")}, "conversations.create")

// endedByAdministrator returns a way after which an administrator retries what waits.
// Without it, the effects are tried up to an hour later.
func (w outageWay) endedByAdministrator() outageWay {
	give := w.give
	w.give = func(r *outageRun) { give(r); r.mustRun("effects", "retry", "--system", w.system) }
	return w
}

// part returns the name of the failure in /readyz.
func (w outageWay) part() string {
	if w.name == createChannels.name {
		return "waiting effects"
	}
	return outageParts[w.system]
}

// proxyOutage is a failure of the network before a system.
func proxyOutage(name, system string, mode proxyMode) outageWay {
	return outageWay{name, system, func(r *outageRun) { r.proxies[system].setMode(mode) }, func(r *outageRun) { r.proxies[system].setMode(proxyOpen) }}
}

// answerOutage is a response that replaces those of methods.
func answerOutage(name, system string, a answer.Answer, methods ...string) outageWay {
	put := func(left *int) func(r *outageRun) {
		return func(r *outageRun) {
			for _, m := range methods {
				r.company.Answers.Put(answer.Answer{Method: m, Status: a.Status, Body: a.Body, Left: left})
			}
		}
	}
	return outageWay{name, system, put(nil), put(answer.Times(0))}
}

func awsOutage(name string, f aws.Fault) outageWay {
	return outageWay{name, systemAWS, func(r *outageRun) { r.aws.Fail(f) }, func(r *outageRun) { r.aws.Heal() }}
}

// openDisk returns the URL of a SQLite file. Only a test that fills the disk needs a small
// one.
func (r *outageRun) openDisk(t *testing.T) string {
	if !strings.Contains(t.Name(), "full_disk") {
		return storetest.SQLite(t)
	}
	r.disk = t.TempDir()
	if err := syscall.Mount("tmpfs", r.disk, "tmpfs", 0, "size=48m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount a small disk: %v", err)
		}
		t.Skipf("mount a small disk: %v (run as root)", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(r.disk, syscall.MNT_DETACH) })
	return "sqlite:" + filepath.Join(r.disk, "tocsin.db")
}

// lockSQLite holds the lock for writes, as a backup tool or a person in a shell can.
func (r *outageRun) lockSQLite() {
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(r.database, "sqlite:")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = db.Close() })
	r.lock, err = db.Conn(r.t.Context())
	if err == nil {
		_, err = r.lock.ExecContext(r.t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *outageRun) unlock() {
	if _, err := r.lock.ExecContext(r.t.Context(), "ROLLBACK"); err != nil {
		r.t.Error(err)
	}
	_ = r.lock.Close()
}

// administer runs statements on the server with the name of the database of the bot.
func (r *outageRun) administer(statements ...string) {
	u, err := url.Parse(r.admin)
	if err != nil {
		r.t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, fmt.Sprintf(s, name)); err != nil {
			r.t.Errorf("%s: %v", s, err)
		}
	}
}

// readyz returns the status of /readyz and the parts that do not work.
func (r *outageRun) readyz() (code int, status string, parts map[string]degradedPart) {
	code, body := r.httpGet("/readyz")
	var answer struct {
		Status   string         `json:"status"`
		Degraded []degradedPart `json:"degraded"`
	}
	_ = json.Unmarshal([]byte(body), &answer)
	parts = map[string]degradedPart{}
	for _, d := range answer.Degraded {
		parts[d.Part] = d
	}
	if code != http.StatusOK {
		return code, body, parts
	}
	return code, answer.Status, parts
}

type degradedPart struct {
	Part  string    `json:"part"`
	Since time.Time `json:"since"`
	Cause string    `json:"cause"`
}
