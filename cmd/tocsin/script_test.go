package main

import (
	"context"
	"net"
	"os"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tocsin/bot/config"
	"tocsin/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tocsin": main})
}

// envVariables matches the environment variables in the example configuration.
var envVariables = regexp.MustCompile(`\$\{(\w+)\}`)

// createDatabase creates the database of a script, as the first start of `tocsin serve` does.
func createDatabase(ts *testscript.TestScript, _ bool, _ []string) {
	keys, err := store.LoadKeyset(ts.Getenv("TOCSIN_KEYSET_FILE"))
	ts.Check(err)
	s, err := store.Open(context.Background(), store.Config{URL: ts.Getenv("TOCSIN_DATABASE")}, store.Deps{Keyset: keys})
	ts.Check(err)
	ts.Check(s.Close())
}

// TestScripts runs the scripts in testdata/script with the real command line.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"newdatabase": createDatabase},
		Setup: func(env *testscript.Env) error {
			for _, name := range envVariables.FindAllStringSubmatch(config.Example, -1) {
				env.Setenv(name[1], "0123456789abcdef0123456789abcdef")
			}
			env.Setenv("SENTRY_DSN", "https://0123456789abcdef@sentry.example.com/1")
			env.Setenv("TOCSIN_TELEMETRY__LISTEN", "127.0.0.1:0")
			env.Setenv("TOCSIN_KEYSET_FILE", env.WorkDir+"/keyset")
			env.Setenv("TOCSIN_DATABASE", "sqlite:"+env.WorkDir+"/tocsin.db")
			env.Setenv("TOCSIN_CONTROL_SOCKET", env.WorkDir+"/tocsin.sock")
			free, err := net.Listen("tcp", "127.0.0.1:0") // closed at once: a script names the port before it is in use
			if err != nil {
				return err
			}
			env.Setenv("FREE_ADDR", free.Addr().String())
			_ = free.Close()
			return os.WriteFile(env.WorkDir+"/tocsin.yaml", []byte(config.Example), 0o600)
		},
	})
}
