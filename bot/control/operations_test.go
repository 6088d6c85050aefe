package control

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store"
	"tocsin/store/storetest"
)

// newTestControl returns a server on a database with the administrators of a
// configuration.
func newTestControl(t *testing.T, administrators ...string) *Server {
	t.Helper()
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{URL: storetest.SQLite(t)}, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	desk, err := response.New(response.Options{Store: s, Redact: passText{}, RenderPostmortem: func(response.Postmortem) (incident.Document, error) { return incident.Document{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return NewServer(Options{Desk: func() Desk { return desk }, Administrators: func() []string { return administrators }, Store: s})
}

// passText is a redactor that changes nothing.
type passText struct{}

func (passText) Text(s string) string { return s }

// request sends a request to an operation as a user of the machine.
func (c *Server) request(name string, p peer) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/"+name, strings.NewReader(`{"command":"help"}`))
	c.HTTP().Handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, p)))
	return w
}

func localPeer(name string, uid int) peer {
	return peer{identity: incident.Identity{Provider: incident.ProviderLocal, ID: name}, uid: uid}
}

// TestOperations_DeclareWhoMayUseThem fails if an operation has no access, and
// tries each operation for administrators as other users.
func TestOperations_DeclareWhoMayUseThem(t *testing.T) {
	c := newTestControl(t, "ada")
	for name, op := range operations {
		if op.access == 0 || op.maxBody == 0 || (op.do == nil) == (op.stream == nil) {
			t.Errorf("%s: incomplete operation", name)
		}
		if op.access == accessEverybody && !slices.Contains([]string{"incident", "test-page", "passkeys-roster", "passkeys-vouch", "pack"}, name) {
			t.Errorf("%s: everybody may use it. If this is intended, name it here", name)
		}
		if op.access != accessAdministrators {
			continue
		}
		for _, p := range []peer{localPeer("ben", 1001), localPeer("root", 0), localPeer("", 65532), {uid: -1}} {
			if w := c.request(name, p); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "only administrators") {
				t.Errorf("%s as %+v: got %d %s, want it refused", name, p, w.Code, w.Body)
			}
		}
	}
	if w := c.request("retention", localPeer("ada", 1000)); w.Code != http.StatusOK {
		t.Errorf("an administrator: got %d %s", w.Code, w.Body)
	}
}

// TestOperations_UndeclaredIsRefused checks that no user may use an operation that
// declares nothing, and that the server has no operation outside the table.
func TestOperations_UndeclaredIsRefused(t *testing.T) {
	c := newTestControl(t, "ada")
	undeclared := operation{maxBody: 1000, do: func(*Server, context.Context, incident.Identity, Request) (any, error) { return "done", nil }}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/new", strings.NewReader("{}"))
	c.serve("new", undeclared)(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, localPeer("ada", 1000))))
	if w.Code != http.StatusConflict {
		t.Errorf("got %d %s, want it refused", w.Code, w.Body)
	}
	if w := c.request("new", localPeer("ada", 1000)); w.Code != http.StatusNotFound {
		t.Errorf("got %d %s, want an unknown operation", w.Code, w.Body)
	}
}

// TestOperations_AreRefusedWithoutAudit closes the store. An operation that cannot
// be written to the audit log must not run, and neither must a refusal look final.
func TestOperations_AreRefusedWithoutAudit(t *testing.T) {
	c := newTestControl(t, "ada")
	ran := 0
	op := operation{access: accessAdministrators, maxBody: 1000, do: func(*Server, context.Context, incident.Identity, Request) (any, error) {
		ran++
		return "done", nil
	}}
	serve := func(p peer, body string) int {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/new", strings.NewReader(body))
		c.serve("new", op)(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, p)))
		return w.Code
	}
	if code := serve(localPeer("ada", 1000), "{}"); code != http.StatusOK || ran != 1 {
		t.Fatalf("got %d and %d runs, want the operation to run", code, ran)
	}
	if code := serve(localPeer("ada", 1000), strings.Repeat(" ", 1000)+"{}"); code != http.StatusBadRequest || ran != 1 {
		t.Errorf("a body above the maximum: got %d and %d runs, want it refused", code, ran)
	}
	if err := c.Store.(*store.Store).Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []peer{localPeer("ada", 1000), localPeer("ben", 1001)} {
		if code := serve(p, "{}"); code != http.StatusServiceUnavailable || ran != 1 {
			t.Errorf("%s without a database: got %d and %d runs, want it refused as unavailable", p.identity.ID, code, ran)
		}
	}
}

// TestReadPeer reads the user of a connection from the kernel.
func TestReadPeer(t *testing.T) {
	l, err := listenPrivate(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := new(net.Dialer).DialContext(t.Context(), "unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, want := readPeer(conn), localPeer(localUser(os.Geteuid()), os.Geteuid()); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	for _, got := range []peer{readPeer(pipe), peerOf(t.Context())} {
		if got != localPeer("", -1) {
			t.Errorf("without a socket: got %+v, want nobody", got)
		}
	}
}

func TestAdministrators_Default(t *testing.T) {
	if got := Administrators([]string{"ada"}); !slices.Equal(got, []string{"ada"}) {
		t.Errorf("got %q, want those of the configuration", got)
	}
	var want []string
	if name := localUser(os.Geteuid()); name != "" {
		want = []string{name}
	}
	if got := Administrators(nil); !slices.Equal(got, want) {
		t.Errorf("got %q, want the user that runs the bot, %q", got, want)
	}
}

func TestCheckUser(t *testing.T) {
	for name, want := range map[string]int{"ada": 0, "1000": 0, "": 1, " ada": 1, "ada ": 1, "65534": 1, "65532": 1, "-5": 1} {
		if err := CheckUser(name); (err != nil) != (want == 1) {
			t.Errorf("%q: got %v, want %d errors", name, err, want)
		}
	}
}

func TestOpenToGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	group := strconv.Itoa(os.Getegid())
	if err := openToGroup(path, group); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("got %v, %v, want the mode 0660", info.Mode(), err)
	}
	if err := openToGroup(path+"-missing", group); err == nil {
		t.Error("a missing socket: got no error, want one")
	}
	if gid, err := socketGroup("root"); err != nil || gid != 0 {
		t.Errorf("got %d, %v, want the group root by its name", gid, err)
	}
}

// TestOperations_AreDocumented compares the table in docs/security.md.
func TestOperations_AreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	who := map[access]string{accessEverybody: "everybody who may connect", accessAdministrators: "administrators"}
	for name, op := range operations {
		if !regexp.MustCompile("(?m)^\\| `" + name + "` \\| " + who[op.access] + " \\|").Match(raw) {
			t.Errorf("docs/security.md: no row for %s, for %s", name, who[op.access])
		}
	}
}

// TestOperations_AreThoseOfTheCommandLine reads the names that the command line
// sends. Every operation must be used and every name must exist.
func TestOperations_AreThoseOfTheCommandLine(t *testing.T) {
	files, err := filepath.Glob("../../cmd/tocsin/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	source := []string{}
	for _, file := range append(files, "replay.go", "../doctor/page.go", "../doctor/passkeys.go") {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, string(raw))
	}
	all := strings.Join(source, "\n")
	for name := range operations {
		if !strings.Contains(all, `"`+name+`"`) {
			t.Errorf("no command uses the operation %s", name)
		}
	}
	for _, m := range regexp.MustCompile(`(?:\.Do\(ctx|\.Do\(cmd\.Context\(\)|callOrOpen\(cmd\.Context\(\)|c\.post\(ctx), "([a-z-]+)"`).FindAllStringSubmatch(all, -1) {
		if _, known := operations[m[1]]; !known {
			t.Errorf("a command uses the unknown operation %s", m[1])
		}
	}
}

func TestAdministers(t *testing.T) {
	me := os.Geteuid()
	for _, test := range []struct {
		name   string
		config []string
		peer   peer
		want   bool
	}{
		{"default: the user that runs the bot", nil, localPeer("tocsin", me), true},
		{"default: the user of a container, who is no person", nil, localPeer("", me), true},
		{"default: another user", nil, localPeer("tocsin", me+1), false},
		{"default: no user reported", nil, localPeer("", -1), false},
		{"configured", []string{"ada"}, localPeer("ada", 1000), true},
		{"configured: root is only root", []string{"ada"}, localPeer("root", 0), false},
		{"configured: the user that runs the bot", []string{"ada"}, localPeer("tocsin", me), false},
		{"configured: nobody", []string{"ada", ""}, localPeer("", 65534), false},
	} {
		if got := administers(test.config, test.peer); got != test.want {
			t.Errorf("%s: got %t, want %t", test.name, got, test.want)
		}
	}
}

func TestLocalUser_SharedIDsAreNobody(t *testing.T) {
	for uid, want := range map[int]string{0: "root", -1: "", 65532: "", 65533: "", 65534: "", 65535: "", int(^uint32(0)): "", 54321: "54321", 70001: "70001"} {
		if got := localUser(uid); got != want {
			t.Errorf("user id %d: got %q, want %q", uid, got, want)
		}
	}
}

func TestListenControl_Group(t *testing.T) {
	dir := t.TempDir()
	for group, want := range map[string]string{"no-such-group": "there is no group", "99999999999999": "is not the number of a group"} {
		path := filepath.Join(dir, "s-"+group)
		if l, err := Listen(path, group); err == nil || !strings.Contains(err.Error(), "control_socket_group: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want %q", group, l, err, want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: the socket stays open", group)
		}
	}
	if os.Geteuid() != 0 {
		groups, err := os.Getgroups()
		if err != nil || slices.Contains(groups, 0) {
			if os.Getenv("CI") != "" {
				t.Fatalf("groups %v, %v", groups, err)
			}
			t.Skipf("groups %v, %v", groups, err)
		}
		if _, err := Listen(filepath.Join(dir, "s"), "0"); err == nil || !strings.Contains(err.Error(), "is not a member of the group") {
			t.Errorf("got %v, want a clear refusal", err)
		}
	}
}
