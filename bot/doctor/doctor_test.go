package doctor_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/backend/memory"
	"github.com/emersion/go-imap/server"

	"tocsin/bot"
	"tocsin/bot/config"
	"tocsin/bot/doctor"
	"tocsin/bot/incident"
	"tocsin/bot/mail"
	"tocsin/bot/pagerduty"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/secret"
	"tocsin/bot/trail"
	"tocsin/bot/vulnreport"
	"tocsin/store"
	"tocsin/store/storetest"
)

// installation is a configuration for running systems.
type installation struct {
	*testing.T
	config  config.Config
	options doctor.Options
	systems *company.Company
	aws     *aws.Account
	keyset  string
}

// install returns an installation without faults.
func install(t *testing.T) *installation {
	t.Helper()
	o := company.Options{Seed: 1, MailUsername: "tocsin", MailPassword: "sandbox-mail-password"}
	systems, err := company.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = systems.Close() })
	setup, err := systems.Setup(o)
	if err != nil {
		t.Fatal(err)
	}
	account := aws.New(aws.Config{AccessKeyID: "AKIATEST", SecretAccessKey: "secret", Region: "eu-west-1", Answers: systems.Answers})
	account.AddQueue(aws.Queue{Name: "trail"})
	account.AddBucket(aws.Bucket{Name: "logs"})
	account.Put("logs", logKey, []byte("{}"))
	endpoint, err := account.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = account.Close() })
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	dir := t.TempDir()
	i := &installation{T: t, config: config.Defaults(), systems: systems, aws: account, keyset: filepath.Join(dir, "keyset.json")}
	if err := store.CreateKeyset(i.keyset); err != nil {
		t.Fatal(err)
	}
	c := &i.config
	c.Listen, c.Telemetry.Listen = "127.0.0.1:0", "127.0.0.1:0"
	c.SignOff.Require = incident.AuthAny
	c.Store.URL, c.Store.KeysetFile, c.Store.ReplicaID = "sqlite:"+filepath.Join(dir, "tocsin.db"), i.keyset, "test"
	c.Slack.BotToken, c.Slack.AppToken, c.Slack.APIURL = secret.New(setup.Slack.BotToken), secret.New(setup.Slack.AppToken), setup.Slack.APIURL
	c.PagerDuty.EventsURL = setup.PagerDuty.EventsURL
	c.Mail.Host, c.Mail.Port, c.Mail.TLS, c.Mail.From = setup.Mail.Host, setup.Mail.Port, mail.TLSNone, setup.Mail.From
	c.Mail.Username, c.Mail.Password = setup.Mail.Username, secret.New(setup.Mail.Password)
	c.Escalation.Steps = []config.Step{{PagerDuty: &pagerduty.Target{RoutingKey: secret.New(setup.PagerDuty.RoutingKey)}},
		{Mail: &mail.Target{To: []string{setup.Mail.Emergency}}}, {SlackGroup: setup.Slack.EmergencyGroup}}
	c.Sources.PagerDuty.WebhookSecrets = []secret.String{secret.New(setup.PagerDuty.WebhookSecret)}
	c.Sources.Trail = trail.Config{QueueURL: account.QueueURL("trail"), Region: "eu-west-1", Endpoint: endpoint}
	c.Departments = map[string]config.Team{}
	for _, p := range setup.People {
		c.People = append(c.People, config.Person{Name: p.Name, Email: p.Email, Slack: p.Slack, PagerDuty: p.PagerDuty})
		team := c.Departments[p.Department]
		team.Members = append(team.Members, p.Email)
		c.Departments[p.Department] = team
	}
	c.Teams = map[string]config.Team{"dpo": {Members: []string{setup.People[0].Email}}}
	return i
}

// answer makes a method answer with a body.
func (i *installation) answer(method, body string) {
	i.systems.Answers.Put(answer.Answer{Method: method, Body: answer.Text(body)})
}

// run returns the findings by check.
// logKey is the key of a log file in the bucket logs.
const logKey = "AWSLogs/123/CloudTrail/eu-west-1/2026/11/03/123_CloudTrail_eu-west-1_20261103T0000Z_x.json.gz"

// owners makes files belong to users. The other files belong to this process.
func (i *installation) owners(users map[string]uint32) {
	i.options.Owner = func(path string) (uint32, error) {
		if _, err := os.Stat(path); err != nil {
			return 0, err
		}
		user, ok := users[path]
		if !ok {
			user = uint32(os.Getuid())
		}
		return user, nil
	}
}

func (i *installation) database() string { return strings.TrimPrefix(i.config.Store.URL, "sqlite:") }

func (i *installation) run() (map[string]doctor.Finding, bool) {
	i.Helper()
	i.options.Config = i.config
	d, err := doctor.New(i.options)
	if err != nil {
		i.Fatal(err)
	}
	found := map[string]doctor.Finding{}
	failed := d.Run(i.Context(), func(f doctor.Finding) { found[f.Check] = f })
	return found, failed
}

// serve runs the bot and returns its address.
func (i *installation) serve() string {
	i.Helper()
	b, err := bot.New(i.Context(), i.config, bot.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		i.Fatal(err)
	}
	ctx, cancel := context.WithCancel(i.Context())
	done := make(chan error, 1)
	started := make(chan struct{})
	go func() { close(started); done <- b.Run(ctx) }()
	<-started
	i.Cleanup(func() { cancel(); <-done; b.Close() })
	i.config.Listen, i.config.Telemetry.Listen = b.Addr(), b.TelemetryAddr()
	i.systems.Connect("http://" + b.Addr())
	return "http://" + b.Addr()
}

// closedAddr returns an address where nothing listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestRun_Works(t *testing.T) {
	i := install(t)
	found, failed := i.run()
	for check, f := range found {
		if f.Status == doctor.Failed || f.Status != doctor.OK && f.Fix == "" {
			t.Errorf("%s: got %+v, want ok", check, f)
		}
	}
	if failed || len(found) < 15 {
		t.Errorf("got failed %v and %d findings", failed, len(found))
	}
	for _, check := range []string{"configuration", "keyset", "database", "disk space", "slack.bot_token", "slack.app_token", "slack.announce_channel", "people[0].slack",
		"mail", "escalation.steps[0]", "escalation.steps[1]", "escalation.steps[2]", "sources.trail", "clock"} {
		if found[check].Status != doctor.OK {
			t.Errorf("%s: got %+v, want ok", check, found[check])
		}
	}
}

// TestRun_Fails breaks one thing at a time.
func TestRun_Fails(t *testing.T) {
	for name, test := range map[string]struct {
		destroy func(*installation)
		check   string
		status  doctor.Status
		want    string
	}{
		"warning of the configuration": {func(i *installation) {
			i.options.Warnings = config.Errors{{Place: "f:1:1", Key: "teams", Fix: "has no team dpo"}}
		}, "configuration", doctor.Warning, "f:1:1: teams"},
		"keyset that others read": {func(i *installation) { _ = os.Chmod(i.keyset, 0o644) }, "keyset", doctor.Failed, "accessible to other users"},
		"no keyset":               {func(i *installation) { _ = os.Remove(i.keyset) }, "keyset", doctor.Failed, "does not exist"},
		"keyset of another user than the database": {func(i *installation) {
			i.openStore()
			i.owners(map[string]uint32{i.keyset: 4711, i.database(): 4712})
		}, "keyset", doctor.Failed, "belongs to user 4711, but the database to user 4712"},
		"no copy":            {func(*installation) {}, "keyset copy", doctor.Warning, "No copy was ever compared"},
		"copy is the keyset": {func(i *installation) { i.options.KeysetCopy = i.keyset }, "keyset copy", doctor.Failed, "is the keyset itself"},
		"copy of another keyset": {func(i *installation) {
			i.options.KeysetCopy = i.keyset + ".other"
			_ = store.CreateKeyset(i.options.KeysetCopy)
		}, "keyset copy", doctor.Failed, "has other keys"},
		"database with another keyset": {func(i *installation) {
			i.openStore()
			_ = os.Remove(i.keyset)
			_ = store.CreateKeyset(i.keyset)
		}, "database", doctor.Failed, "The keyset does not open it"},
		"damaged database": {func(i *installation) {
			_ = os.WriteFile(i.database(), []byte("this is not a database at all"), 0o600)
		}, "database", doctor.Failed, "Its structure is damaged"},
		"database of a newer program": {func(i *installation) {
			i.openStore()
			db, err := sql.Open("sqlite", strings.TrimPrefix(i.config.Store.URL, "sqlite:"))
			if err == nil {
				_, err = db.Exec("INSERT INTO schema_migrations (version_id, is_applied) VALUES (9998, true)")
			}
			if err != nil || db.Close() != nil {
				i.Fatalf("got %v, want a newer schema", err)
			}
		}, "database", doctor.Failed, "It has the schema version 9998, and this program knows versions up to"},
		"full disk":  {func(i *installation) { i.options.FreeDisk = func() int64 { return 511 << 20 } }, "disk space", doctor.Failed, "has 511 MiB left"},
		"no sources": {func(i *installation) { i.config.Sources = config.Sources{} }, "sources", doctor.Warning, "No source of alerts"},
		"no folder":  {func(i *installation) { i.config.Store.URL = "sqlite:/nowhere/tocsin.db" }, "database", doctor.Failed, "/nowhere"},
		"no server":  {func(i *installation) { i.config.Store.URL = "postgres://x@" + closedAddr(i.T) + "/x" }, "database", doctor.Failed, "It cannot be used"},
		"no bot":     {func(*installation) {}, "running bot", doctor.Skipped, "No bot runs"},
		"bot token":  {func(i *installation) { i.answer("auth.test", `{"ok":false,"error":"invalid_auth"}`) }, "slack.bot_token", doctor.Failed, "token"},
		"scope": {func(i *installation) {
			i.systems.Answers.Put(answer.Answer{Method: "auth.test", Body: `{"ok":true,"user_id":"U0TOCSIN"}`, Header: map[string]string{"X-OAuth-Scopes": "chat:write,commands"}})
		}, "slack.bot_token", doctor.Failed, "lacks the scopes app_mentions:read"},
		"app token":          {func(i *installation) { i.answer("apps.connections.open", `{"ok":false,"error":"invalid_auth"}`) }, "slack.app_token", doctor.Failed, "does not accept the app token"},
		"no channel":         {func(i *installation) { i.config.Slack.AnnounceChannel = "nowhere" }, "slack.announce_channel", doctor.Failed, "#nowhere"},
		"not in the channel": {func(i *installation) { i.config.Slack.AnnounceChannel = "general" }, "slack.announce_channel", doctor.Failed, "is not a member"},
		"archived channel": {func(i *installation) {
			i.answer("conversations.info", `{"ok":true,"channel":{"id":"C0INCIDENTS","is_archived":true}}`)
		}, "slack.announce_channel", doctor.Failed, "is archived"},
		"no group":              {func(i *installation) { i.config.Escalation.Steps[2].SlackGroup = "S0NOWHERE" }, "escalation.steps[2]", doctor.Failed, "S0NOWHERE does not exist"},
		"group without members": {func(i *installation) { i.answer("usergroups.users.list", `{"ok":true,"users":[]}`) }, "escalation.steps[2]", doctor.Failed, "has no members"},
		"unknown person":        {func(i *installation) { i.config.People[0].Slack = "U0NOWHERE" }, "people[0].slack", doctor.Failed, "no member with the id U0NOWHERE"},
		"deactivated person": {func(i *installation) {
			i.answer("users.info", `{"ok":true,"user":{"id":"U1","deleted":true}}`)
		}, "people[0].slack", doctor.Failed, "is deactivated"},
		"app as a person":  {func(i *installation) { i.config.People[0].Slack = "U0TOCSIN" }, "people[0].slack", doctor.Failed, "is an app"},
		"mail password":    {func(i *installation) { i.config.Mail.Password = secret.New("wrong") }, "mail", doctor.Failed, "refuses the sign-in (code 535)"},
		"no relay":         {func(i *installation) { i.config.Mail.Port = portOf(closedAddr(i.T)) }, "mail", doctor.Failed, "refuses connections"},
		"no PagerDuty":     {func(i *installation) { i.config.PagerDuty.EventsURL = "http://" + closedAddr(i.T) }, "escalation.steps[0]", doctor.Failed, "refuses connections"},
		"no queue":         {func(i *installation) { i.config.Sources.Trail.QueueURL = i.aws.QueueURL("nowhere") }, "sources.trail", doctor.Failed, "QueueDoesNotExist"},
		"AWS credentials":  {func(i *installation) { i.Setenv("AWS_SECRET_ACCESS_KEY", "wrong") }, "sources.trail", doctor.Failed, "SignatureDoesNotMatch"},
		"no log file":      {func(*installation) {}, "sources.trail log files", doctor.Skipped, "does not prove"},
		"not a log file":   {func(i *installation) { i.options.LogFile = "logs" }, "sources.trail log files", doctor.Failed, "is not the address of a file in S3"},
		"missing log file": {func(i *installation) { i.options.LogFile = "s3://logs/nowhere" }, "sources.trail log files", doctor.Failed, "NoSuchKey"},
		"missing bucket":   {func(i *installation) { i.options.LogFile = "s3://nowhere/" + logKey }, "sources.trail log files", doctor.Failed, "NoSuchBucket"},
		"log file that Tocsin may not read": {func(i *installation) {
			i.options.LogFile = "s3://logs/" + logKey
			i.aws.Fail(aws.Fault{Op: "s3:GetObject", Status: http.StatusForbidden, Code: "AccessDenied"})
		}, "sources.trail log files", doctor.Failed, "AccessDenied"},
		"S3 does not answer": {func(i *installation) {
			i.options.LogFile = "s3://logs/" + logKey
			i.aws.Fail(aws.Fault{Op: "s3:GetObject", CutAfter: 1, Status: 0, LoseAnswer: true})
		}, "sources.trail log files", doctor.Failed, "closes the connection"},
		"clock":                     {func(i *installation) { i.options.Clock = func() time.Time { return time.Now().Add(10 * time.Minute) } }, "clock", doctor.Failed, "ahead of"},
		"no public URL":             {func(*installation) {}, "public URL", doctor.Skipped, "not known"},
		"public URL without a host": {func(i *installation) { i.options.PublicURL = "tocsin" }, "public URL", doctor.Failed, "is not a URL"},
		"public URL without DNS":    {func(i *installation) { i.options.PublicURL = "https://tocsin.invalid" }, "public URL", doctor.Failed, "cannot be found"},
		"public URL refuses":        {func(i *installation) { i.options.PublicURL = "https://" + closedAddr(i.T) }, "public URL", doctor.Failed, "refuses connections"},
		"public URL without a certificate": {func(i *installation) {
			s := httptest.NewTLSServer(http.NotFoundHandler())
			i.Cleanup(s.Close)
			i.options.PublicURL = s.URL
		}, "public URL", doctor.Failed, "no valid certificate"},
		"public URL of a proxy alone": {func(i *installation) { i.options.PublicURL = i.statusServer(http.StatusBadGateway) }, "public URL", doctor.Failed, "does not reach Tocsin"},
		"public URL of another":       {func(i *installation) { i.options.PublicURL = i.statusServer(http.StatusOK) }, "public URL", doctor.Failed, "Another program"},
	} {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			test.destroy(i)
			found, failed := i.run()
			got := found[test.check]
			if got.Status != test.status || !strings.Contains(got.Text, test.want) || got.Fix == "" || failed != (test.status == doctor.Failed) {
				t.Errorf("got %+v and failed %v, want %s with %q and a fix", got, failed, test.status, test.want)
			}
		})
	}
}

// TestRun_LogFile reads a log file, and receives no message of the queue.
func TestRun_LogFile(t *testing.T) {
	i := install(t)
	i.options.LogFile = "s3://logs/" + logKey
	found, failed := i.run()
	if got := found["sources.trail log files"]; failed || got.Status != doctor.OK || i.aws.Count("s3:GetObject", http.StatusOK) != 1 || i.aws.Count("sqs:ReceiveMessage", http.StatusOK) != 0 {
		t.Errorf("got %+v, failed %v, want one file that was read", got, failed)
	}
}

// TestRun_KeysetOwner compares the owner of the keyset with the user of the bot, not with
// the user of the command.
func TestRun_KeysetOwner(t *testing.T) {
	i := install(t)
	expect := func(what string, status doctor.Status, want string) {
		t.Helper()
		if found, _ := i.run(); found["keyset"].Status != status || !strings.Contains(found["keyset"].Text, want) {
			t.Errorf("%s: got %+v, want %s with %q", what, found["keyset"], status, want)
		}
	}
	i.owners(map[string]uint32{i.keyset: 4711})
	expect("no bot and no database", doctor.OK, "Only its owner, user 4711, can read it. Run `tocsin serve` as that user")
	i.openStore()
	i.owners(map[string]uint32{i.keyset: 4711, i.database(): 4711})
	expect("one user", doctor.OK, "Only its owner can read it")
	i.owners(map[string]uint32{i.keyset: 4711, i.database(): 0})
	expect("root", doctor.OK, "Only its owner can read it")
	i.serve()
	i.owners(map[string]uint32{i.keyset: 4711, i.database(): 4711, i.config.ControlPath(): 4713})
	expect("running bot of another user", doctor.Failed, "belongs to user 4711, but the running bot is user 4713")
}

// TestRun_PostgreSQL checks databases of a real server.
func TestRun_PostgreSQL(t *testing.T) {
	for name, test := range map[string]struct {
		destroy func(*installation, *sql.DB)
		status  doctor.Status
		want    string
	}{
		"new":    {func(*installation, *sql.DB) {}, doctor.OK, "It does not exist yet"},
		"opened": {func(i *installation, _ *sql.DB) { i.openStore() }, doctor.OK, "The keyset opens it, and it has the schema version"},
		"older version": {func(i *installation, db *sql.DB) {
			i.openStore()
			i.exec(db, "DELETE FROM schema_migrations WHERE version_id = (SELECT MAX(version_id) FROM schema_migrations)")
		}, doctor.OK, "upgrades its schema"},
		"newer version": {func(i *installation, db *sql.DB) {
			i.openStore()
			i.exec(db, "UPDATE schema_migrations SET version_id = 9999 WHERE version_id = (SELECT MAX(version_id) FROM schema_migrations)")
		}, doctor.Failed, "this program knows versions up to"},
		"another keyset": {func(i *installation, _ *sql.DB) {
			i.openStore()
			_ = os.Remove(i.keyset)
			_ = store.CreateKeyset(i.keyset)
		}, doctor.Failed, "The keyset does not open it"},
		"no such database": {func(i *installation, _ *sql.DB) {
			u, _ := url.Parse(i.config.Store.URL)
			u.Path = "/nowhere"
			i.config.Store.URL = u.String()
		}, doctor.Failed, "It cannot be used"},
		"user who may not create tables": {func(i *installation, db *sql.DB) {
			i.exec(db, "DROP ROLE IF EXISTS doctor_reader")
			i.exec(db, "CREATE ROLE doctor_reader LOGIN")
			i.exec(db, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
			u, _ := url.Parse(i.config.Store.URL)
			u.User = url.User("doctor_reader")
			i.config.Store.URL = u.String()
		}, doctor.Failed, "may not create tables"},
	} {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			i.config.Store.URL = storetest.Postgres(t)
			db, err := sql.Open("pgx", i.config.Store.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			test.destroy(i, db)
			found, _ := i.run()
			got := found["database"]
			if got.Status != test.status || !strings.Contains(got.Text, test.want) || (got.Fix == "") != (got.Status == doctor.OK) {
				t.Errorf("got %+v, want %s with %q", got, test.status, test.want)
			}
			if disk, ok := found["disk space"]; ok {
				t.Errorf("got %+v for a database on another machine", disk)
			}
		})
	}
}

func (i *installation) exec(db *sql.DB, statement string) {
	i.Helper()
	if _, err := db.Exec(statement); err != nil {
		i.Fatalf("%s: %v", statement, err)
	}
}

// TestRun_BehindProxy reaches the bot directly, although the environment has a proxy and
// the bot listens on all addresses.
func TestRun_BehindProxy(t *testing.T) {
	if os.Getenv("DOCTOR_TEST_PROXY") == "" { // the environment is read once per process
		cmd := exec.Command(os.Args[0], "-test.run=^TestRun_BehindProxy$")
		cmd.Env = append(os.Environ(), "DOCTOR_TEST_PROXY=1", "HTTP_PROXY=http://"+closedAddr(t), "NO_PROXY=127.0.0.1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	i := install(t)
	i.config.Telemetry.Listen = ":0"
	i.serve()
	_, port, err := net.SplitHostPort(i.config.Telemetry.Listen)
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{":" + port, "0.0.0.0:" + port, "[::]:" + port, "127.0.0.1:" + port}
	if interfaces, err := net.InterfaceAddrs(); err == nil { // the addresses of this machine, for which the environment has a proxy
		for _, one := range interfaces {
			if ip, ok := one.(*net.IPNet); ok && ip.IP.To4() != nil {
				addresses = append(addresses, net.JoinHostPort(ip.IP.String(), port))
			}
		}
	}
	for _, listen := range addresses {
		i.config.Telemetry.Listen = listen
		if found, _ := i.run(); found["running bot"].Status != doctor.OK {
			t.Errorf("%s: got %+v, want ok", listen, found["running bot"])
		}
	}
}

// TestRun_Mailbox checks the mailbox of vulnerability reports against an IMAP server.
func TestRun_Mailbox(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(memory.New())
	s.AllowInsecureAuth, s.ErrorLog = true, log.New(io.Discard, "", 0)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	for name, test := range map[string]struct {
		destroy func(*vulnreport.MailboxConfig)
		status  doctor.Status
		want    string
	}{
		"works":     {func(*vulnreport.MailboxConfig) {}, doctor.OK, "the folder opens"},
		"password":  {func(c *vulnreport.MailboxConfig) { c.Password = secret.New("wrong") }, doctor.Failed, "rejects the user name or the password"},
		"no folder": {func(c *vulnreport.MailboxConfig) { c.Folder = "Nowhere" }, doctor.Failed, "The folder Nowhere"},
		"no server": {func(c *vulnreport.MailboxConfig) { c.Address = closedAddr(t) }, doctor.Failed, "refuses connections"},
		"no TLS":    {func(c *vulnreport.MailboxConfig) { c.TLS = "implicit" }, doctor.Failed, "does not speak TLS"},
		"address":   {func(c *vulnreport.MailboxConfig) { c.Address = "imap" }, doctor.Failed, "not configured correctly"},
	} {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			i.config.Sources.Report.Mailbox = &vulnreport.MailboxConfig{Address: l.Addr().String(), TLS: "none", Username: "username", Password: secret.New("password")}
			test.destroy(i.config.Sources.Report.Mailbox)
			found, failed := i.run()
			got := found["sources.report.mailbox"]
			if got.Status != test.status || !strings.Contains(got.Text, test.want) || failed != (got.Fix != "") || failed != (test.status == doctor.Failed) {
				t.Errorf("got %+v and failed %v, want %s with %q", got, failed, test.status, test.want)
			}
		})
	}
}

// TestRun_DegradedBot reports the parts of a running bot that do not work.
func TestRun_DegradedBot(t *testing.T) {
	i := install(t)
	i.answer("auth.test", `{"ok":false,"error":"invalid_auth"}`)
	i.serve()
	for deadline := time.Now().Add(time.Minute); ; {
		found, failed := i.run()
		if got := found["running bot"]; got.Status == doctor.Failed && failed && strings.Contains(got.Text, "Slack does not accept the bot token") && got.Fix != "" {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("got %+v, want that the running bot cannot use Slack", got)
		}
	}
}

func (i *installation) openStore() {
	keys, err := store.LoadKeyset(i.keyset)
	if err != nil {
		i.Fatal(err)
	}
	s, err := store.Open(i.Context(), i.config.Store, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		i.Fatal(err)
	}
	_ = s.Close()
}

func portOf(addr string) int {
	return int(netip.MustParseAddrPort(addr).Port())
}

// statusServer returns the URL of a server that answers with a status.
func (i *installation) statusServer(status int) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	i.Cleanup(s.Close)
	return s.URL
}

// TestRun_KeysetCopy compares a copy, and reads the comparison later.
func TestRun_KeysetCopy(t *testing.T) {
	i := install(t)
	raw, err := os.ReadFile(i.keyset)
	if err != nil {
		t.Fatal(err)
	}
	i.options.KeysetCopy = filepath.Join(t.TempDir(), "copy.json")
	if err := os.WriteFile(i.options.KeysetCopy, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	expect := func(status doctor.Status, want string) {
		t.Helper()
		if found, _ := i.run(); found["keyset copy"].Status != status || !strings.Contains(found["keyset copy"].Text, want) {
			t.Errorf("got %+v, want %s with %q", found["keyset copy"], status, want)
		}
	}
	expect(doctor.OK, "has the same keys")
	i.options.KeysetCopy = ""
	expect(doctor.OK, "A copy had the same keys on "+time.Now().UTC().Format(time.DateOnly))
	now := time.Now().AddDate(0, 7, 0)
	i.options.Clock = func() time.Time { return now }
	expect(doctor.Warning, "The last comparison was on")
	keys, err := store.LoadKeyset(i.keyset)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Rotate(); err != nil {
		t.Fatal(err)
	}
	if err := keys.Save(); err != nil {
		t.Fatal(err)
	}
	expect(doctor.Warning, "were rotated after the last comparison")
}

// TestRun_BesideBot makes the checks while a bot runs, directly and through a proxy.
func TestRun_BesideBot(t *testing.T) {
	i := install(t)
	i.options.PublicURL = i.serve()
	found, failed := i.run()
	for _, check := range []string{"database", "running bot", "public URL", "sources.trusted_proxies"} {
		if found[check].Status != doctor.OK {
			t.Errorf("%s: got %+v, want ok", check, found[check])
		}
	}
	if failed {
		t.Errorf("got a failure in %v", found)
	}
	target, err := url.Parse(i.options.PublicURL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
	t.Cleanup(proxy.Close)
	i.options.PublicURL = proxy.URL
	if found, _ := i.run(); found["sources.trusted_proxies"].Status != doctor.Failed {
		t.Errorf("got %+v without trusted proxies, want a failure", found["sources.trusted_proxies"])
	}
	i.config.Sources.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if found, _ := i.run(); found["sources.trusted_proxies"].Status != doctor.OK {
		t.Errorf("got %+v with a trusted proxy, want ok", found["sources.trusted_proxies"])
	}
	i.options.PublicURL = target.String()
	if found, _ := i.run(); found["sources.trusted_proxies"].Status != doctor.Warning {
		t.Errorf("got %+v without X-Forwarded-For, want a warning", found["sources.trusted_proxies"])
	}
	res, err := http.Get(target.String() + doctor.Path + "1-forged")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("got status %d for a forged token, want 404", res.StatusCode)
	}
}

// pages runs the test pages of one step. When a page was sent, act acknowledges it.
func (i *installation) pages(step int, wait time.Duration, act func(typed chan<- string)) (doctor.Finding, bool) {
	i.Helper()
	i.options.Config = i.config
	d, err := doctor.New(i.options)
	if err != nil {
		i.Fatal(err)
	}
	typed := make(chan string, 2)
	var got doctor.Finding
	failed := d.Pages(i.Context(), doctor.PageOptions{Step: step, Wait: wait, Typed: typed, Say: func(s string) {
		if strings.Contains(s, "sent a test page") && act != nil {
			act(typed)
		}
	}}, func(f doctor.Finding) { got = f })
	return got, failed
}

// TestPages_PagerDuty acknowledges a page in PagerDuty, whose webhook arrives at the bot.
func TestPages_PagerDuty(t *testing.T) {
	i := install(t)
	i.serve()
	got, failed := i.pages(1, time.Minute, func(chan<- string) {
		open := i.systems.Pager.Snapshot().Incidents
		if len(open) != 1 || !strings.HasPrefix(open[0].Title, "TEST ") {
			t.Fatalf("got %+v, want one incident that is marked as a test", open)
		}
		if err := i.systems.Pager.Acknowledge(open[0].ID, i.config.People[slices.IndexFunc(i.config.People, func(p config.Person) bool { return p.PagerDuty != "" })].PagerDuty); err != nil {
			t.Fatal(err)
		}
	})
	if failed || got.Status != doctor.OK || !strings.Contains(got.Text, "acknowledged it") {
		t.Errorf("got %+v, want an acknowledgement", got)
	}
	db, err := sql.Open("sqlite", i.database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var rows int
	if err := db.QueryRow("SELECT count(*) FROM audit").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("got %d rows in the audit log, error %v, want none of the questions", rows, err)
	}
	if s := i.systems.Pager.Snapshot().Incidents[0].Status; fmt.Sprint(s) != "resolved" {
		t.Errorf("got the status %v of the test page, want resolved", s)
	}
}

// TestPages_PagerDutyAPI acknowledges a page without a running bot: the doctor reads the
// acknowledgement from the REST API.
func TestPages_PagerDutyAPI(t *testing.T) {
	i := install(t)
	i.config.Sources.PagerDuty.WebhookSecrets = nil
	i.config.PagerDuty.APIURL, i.config.PagerDuty.APIKey = i.systems.PageURL, secret.New(company.PagerToken)
	i.config.PagerDuty.From, i.config.PagerDuty.Service = company.PagerUser(i.systems.People), company.PagerService
	user := i.config.People[slices.IndexFunc(i.config.People, func(p config.Person) bool { return p.PagerDuty != "" })]
	got, failed := i.pages(1, time.Minute, func(chan<- string) {
		if err := i.systems.Pager.Acknowledge(i.systems.Pager.Snapshot().Incidents[0].ID, user.PagerDuty); err != nil {
			t.Fatal(err)
		}
	})
	if failed || got.Status != doctor.OK || !strings.Contains(got.Text, user.Name+" acknowledged it") {
		t.Errorf("got %+v, want an acknowledgement by %s", got, user.Name)
	}
	i.config.PagerDuty.APIKey = secret.New("wrong")
	if got, failed = i.pages(1, 3*time.Second, nil); !failed || !strings.Contains(got.Text, "the acknowledgement cannot be read") || got.Fix == "" {
		t.Errorf("wrong key: got %+v, want a failure that names it", got)
	}
}

// TestPages_Code types the code that the people got.
func TestPages_Code(t *testing.T) {
	i := install(t)
	for step, code := range map[int]func() string{
		1: func() string { return strings.Fields(i.systems.Pager.Snapshot().Incidents[0].Title)[1] },
		2: func() string {
			messages := i.systems.Mail.Messages()
			return messages[len(messages)-1].Subject[len("TEST page of Tocsin "):]
		},
		3: func() string {
			for _, m := range i.systems.Chat.Messages("C0INCIDENTS") {
				if _, after, found := strings.Cut(m.Text, "Give the code "); found {
					return strings.Fields(after)[0]
				}
			}
			return ""
		},
	} {
		got, failed := i.pages(step, time.Minute, func(typed chan<- string) { typed <- "wrong"; typed <- " " + strings.TrimSuffix(code(), ":") + " " })
		if failed || got.Status != doctor.OK || !strings.Contains(got.Text, "its code was typed") {
			t.Errorf("step %d: got %+v, want ok", step, got)
		}
	}
}

// TestPages_Fails sends pages without an acknowledgement, and pages that are refused.
func TestPages_Fails(t *testing.T) {
	for name, test := range map[string]struct {
		step    int
		destroy func(*installation)
		want    string
	}{
		"not acknowledged, no bot": {1, func(*installation) {}, "does not prove that it paged a person"},
		"not acknowledged":         {1, func(i *installation) { i.serve() }, "no acknowledgement arrived"},
		"routing key": {1, func(i *installation) {
			i.config.Escalation.Steps[0].PagerDuty.RoutingKey = secret.New(strings.Repeat("a", 32))
		}, "routing key"},
		"no code":       {2, func(*installation) {}, "its code was not typed"},
		"mail refused":  {2, func(i *installation) { i.config.Mail.Password = secret.New("wrong") }, "refuses the sign-in"},
		"Slack refused": {3, func(i *installation) { i.answer("chat.postMessage", `{"ok":false,"error":"restricted_action"}`) }, ""},
		"no such step":  {9, func(*installation) {}, "There is no step 9"},
	} {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			test.destroy(i)
			got, failed := i.pages(test.step, 100*time.Millisecond, nil)
			if !failed || got.Status != doctor.Failed || !strings.Contains(got.Text, test.want) || got.Fix == "" {
				t.Errorf("got %+v, want a failure with %q", got, test.want)
			}
		})
	}
}
