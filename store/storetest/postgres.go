// Package storetest provides databases for tests: a new SQLite file, or a new database on a throwaway PostgreSQL
// server. The server is started from the installed binaries and stops when the test process ends.
//
//	storetest.Databases(t, func(t *testing.T, url string) {
//		s, err := store.Open(t.Context(), store.Config{URL: url}, store.Deps{Keyset: keys})
//		...
//	})
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// AdminEnv is the environment variable with the URL of a PostgreSQL server to use instead of a throwaway one. Its user
// must be allowed to create databases.
const AdminEnv = "TOCSIN_TEST_POSTGRES"

// Databases runs test once per kind of database, with the URL of an empty database.
func Databases(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns the URL of a SQLite file that does not exist yet.
func SQLite(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "tocsin.db")
}

// Postgres returns the URL of an empty PostgreSQL database, which is dropped when the test ends. If there is no server
// and no binaries to start one, it skips the test. If the environment variable CI is set, it fails the test instead.
func Postgres(t testing.TB) string {
	t.Helper()
	admin, err := serverURL()
	if errors.Is(err, errNoPostgres) && os.Getenv("CI") == "" {
		t.Skipf("%v. Install PostgreSQL or set %s", err, AdminEnv)
	}
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	name := "tocsin_" + strings.ToLower(rand.Text()[:16])
	if err := execSQL(admin, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		if err := execSQL(admin, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatalf("%s is not a URL: %v", AdminEnv, err)
	}
	u.Path = "/" + name
	return u.String()
}

func execSQL(dsn, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

var errNoPostgres = errors.New("no PostgreSQL binaries found")

// serverURL returns the administrator's URL of the server. The first call starts one server for the test process.
var serverURL = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv(AdminEnv); dsn != "" {
		return dsn, nil
	}
	bin, err := findBinaries()
	if err != nil {
		return "", err
	}
	for try := 1; ; try++ { // another process may take the free port before the server binds it
		dsn, err := startServer(bin)
		if err == nil || try == 3 {
			return dsn, err
		}
	}
})

// findBinaries returns the folder of the newest installed server.
func findBinaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errNoPostgres
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // a folder that is not a number sorts first
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// supervisorScript runs the server and stops it at the end of standard input. The kernel closes the pipe when the test
// process ends for any reason.
const supervisorScript = `"$1/postgres" -D "$2" -k "$2" -h 127.0.0.1 -p "$3" -c max_connections=200 -c shared_buffers=32MB -c fsync=off </dev/null >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT $server
wait $server
rm -rf "${2%/data}"`

func startServer(bin string) (string, error) {
	dir, err := os.MkdirTemp("", "tocsin-postgres-")
	if err != nil {
		return "", err
	}
	as, err := serverCredentials(dir)
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	stdin, pipe, err := os.Pipe()
	if err != nil {
		return "", err
	}
	shell := exec.Command("/bin/sh", "-c", supervisorScript, "supervisor", bin, data, port)
	shell.Dir, shell.SysProcAttr, shell.Stdin = "/", as, stdin
	if err := shell.Start(); err != nil {
		return "", err
	}
	_ = stdin.Close()
	supervisorPipes = append(supervisorPipes, pipe)
	dsn := "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
	if err := waitUntilReady(dsn); err != nil {
		log, _ := os.ReadFile(filepath.Join(data, "log")) // best effort, to explain err
		return "", fmt.Errorf("%w\n%s", err, log)
	}
	return dsn, nil
}

// supervisorPipes holds the supervisors' pipes open until the process ends.
var supervisorPipes []*os.File

// serverCredentials returns the attributes to run the server with. As root, it selects an unprivileged user and makes
// it the owner of dir, because PostgreSQL does not run as root.
func serverCredentials(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal must reach only the test, which then stops the server
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, int(uid), int(gid))
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// waitUntilReady waits up to 15 seconds until the server answers.
func waitUntilReady(dsn string) error {
	var err error
	for range 300 {
		if err = execSQL(dsn, "SELECT 1"); err == nil {
			return nil
		}
		<-time.After(50 * time.Millisecond)
	}
	return fmt.Errorf("server does not answer: %w", err)
}
