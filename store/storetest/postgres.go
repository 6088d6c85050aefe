// Package storetest gives tests the databases that the store runs on: a fresh SQLite file, and a fresh database on a
// throwaway PostgreSQL server that is started from the installed binaries and dies with the test process.
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

// AdminEnv names the variable that holds the URL of a PostgreSQL server to use instead of a throwaway one. Its user
// must be allowed to create databases.
const AdminEnv = "TOCSIN_TEST_POSTGRES"

// Databases runs test once on each kind of database, with the URL of an empty one.
func Databases(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns the URL of a SQLite file that does not exist yet.
func SQLite(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "tocsin.db")
}

// Postgres returns the URL of an empty PostgreSQL database, dropped when the test ends. Without a server and without
// binaries to start one, the test is skipped; in CI (the variable CI is set) it fails.
func Postgres(t testing.TB) string {
	t.Helper()
	admin, err := server()
	if errors.Is(err, errNoPostgres) && os.Getenv("CI") == "" {
		t.Skipf("skipped: %v; install PostgreSQL or set %s", err, AdminEnv)
	}
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	name := "tocsin_" + strings.ToLower(rand.Text()[:16])
	if err := execute(admin, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(admin, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatalf("%s is no URL: %v", AdminEnv, err)
	}
	u.Path = "/" + name
	return u.String()
}

func execute(dsn, statement string) error {
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

// server returns the administrator's URL of the one server of this test process, which it starts when first called.
var server = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv(AdminEnv); dsn != "" {
		return dsn, nil
	}
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	for try := 1; ; try++ { // the free port may be taken before the server binds it
		dsn, err := start(bin)
		if err == nil || try == 3 {
			return dsn, err
		}
	}
})

// binaries finds the folder of the newest installed server.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errNoPostgres
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // a folder that is no number sorts first
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// keeper runs the server and stops it when its own standard input ends, which the kernel brings about when the test
// process is gone, however it went.
const keeper = `"$1/postgres" -D "$2" -k "$2" -h 127.0.0.1 -p "$3" -c max_connections=200 -c shared_buffers=32MB </dev/null >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT $server
wait $server
rm -rf "${2%/data}"`

func start(bin string) (string, error) {
	dir, err := os.MkdirTemp("", "tocsin-postgres-")
	if err != nil {
		return "", err
	}
	as, err := unprivileged(dir)
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
	stdin, hold, err := os.Pipe()
	if err != nil {
		return "", err
	}
	shell := exec.Command("/bin/sh", "-c", keeper, "keeper", bin, data, port)
	shell.Dir, shell.SysProcAttr, shell.Stdin = "/", as, stdin
	if err := shell.Start(); err != nil {
		return "", err
	}
	_ = stdin.Close()
	held = append(held, hold)
	dsn := "postgres://postgres@127.0.0.1:" + port + "/postgres?sslmode=disable"
	if err := ready(dsn); err != nil {
		log, _ := os.ReadFile(filepath.Join(data, "log")) // best effort: it explains err
		return "", fmt.Errorf("%w\n%s", err, log)
	}
	return dsn, nil
}

// held keeps the keepers' pipes open until the process ends.
var held []*os.File

// unprivileged returns the credentials to run the server with, and gives it dir: it refuses to run as root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setpgid: true} // an interrupt on the terminal is for the test, which then ends the server
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

// ready waits until the server answers.
func ready(dsn string) error {
	var err error
	for range 300 {
		if err = execute(dsn, "SELECT 1"); err == nil {
			return nil
		}
		<-time.After(50 * time.Millisecond)
	}
	return fmt.Errorf("the server does not answer: %w", err)
}
