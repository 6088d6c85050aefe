package store

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"tocsin/store/storetest"
)

// TestOpen_PostgresRefusals opens URLs that PostgreSQL refuses.
func TestOpen_PostgresRefusals(t *testing.T) {
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	good, err := url.Parse(storetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*url.URL)
		want   string
	}{
		"database": {func(u *url.URL) { u.Path = "/not there" }, `PostgreSQL has no database "not there". Create it as its administrator with CREATE DATABASE "not there" OWNER "`},
		"user":     {func(u *url.URL) { u.User = url.UserPassword("nobody-knows", "hunter2") }, `PostgreSQL refuses the user "nobody-knows" or the password. Correct the key database`},
	} {
		u := *good
		c.change(&u)
		s, err := Open(t.Context(), Config{URL: u.String()}, Deps{Keyset: keys})
		if err == nil {
			err = errors.Join(errors.New("no error"), s.Close())
		}
		if !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "SQLSTATE") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
