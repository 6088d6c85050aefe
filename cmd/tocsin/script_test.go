package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tocsin/bot"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tocsin": main})
}

// TestScripts runs the command line as people and shells do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET", "SMTP_PASSWORD",
				"PAGERDUTY_ROUTING_KEY", "SENTRY_CLIENT_SECRET", "EVENTBRIDGE_KEY", "PAGERDUTY_WEBHOOK_SECRET"} {
				env.Setenv(name, "0123456789abcdef0123456789abcdef")
			}
			env.Setenv("SENTRY_DSN", "https://0123456789abcdef@sentry.example.com/1")
			env.Setenv("TOCSIN_KEYSET_FILE", env.WorkDir+"/keyset")
			env.Setenv("TOCSIN_DATABASE", "sqlite:"+env.WorkDir+"/tocsin.db")
			env.Setenv("TOCSIN_CONTROL_SOCKET", env.WorkDir+"/tocsin.sock")
			return os.WriteFile(env.WorkDir+"/tocsin.yaml", []byte(bot.Example), 0o600)
		},
	})
}
