//go:build !race

package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// sharedSocket is a bot whose control socket a group may use. Other users of this
// machine run its binary.
type sharedSocket struct {
	*botProcess
	gid uint32
}

// users that every Linux system has. They play people of the configuration.
const (
	responderUser = "daemon"   // a responder, and no administrator
	lawyerUser    = "www-data" // of legal, and the administrator of some tests
)

// namelessUID has no entry in the user database, as a user of the host in a
// container.
const namelessUID = 54321

// startSharedSocket starts a bot that other users can reach. It needs root, because
// only root can become another user.
func startSharedSocket(t *testing.T, url string, changes ...configChange) *sharedSocket {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test needs root to connect as other users")
		}
		t.Skip("this test needs root to connect as other users")
	}
	dir, err := os.MkdirTemp("", "tocsin-control-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	group, err := user.LookupGroup("games")
	if err != nil {
		t.Fatal(err)
	}
	gid, _ := strconv.ParseUint(group.Gid, 10, 32)
	socket := filepath.Join(dir, "socket")
	shared := func(c map[string]any) {
		c["control_socket"], c["control_socket_group"] = socket, "games"
		locals := map[int]string{1: responderUser, 2: strconv.Itoa(namelessUID)}
		for n, p := range c["people"].([]any) {
			if name := locals[n]; name != "" {
				p.(map[string]any)["local"] = name
			}
		}
		// a member of legal
		for n, p := range c["people"].([]any) {
			if n == 7 {
				p.(map[string]any)["local"] = lawyerUser
			}
		}
	}
	s := &sharedSocket{startBot(t, url, company.Options{Seed: 41}, append([]configChange{shared}, changes...)...), uint32(gid)}
	s.socket = socket
	binary, err := os.ReadFile(s.binary)
	if err == nil {
		s.binary = filepath.Join(dir, "tocsin")
		err = os.WriteFile(s.binary, binary, 0o755)
	}
	if err == nil {
		err = os.Chmod(s.binary, 0o755) // whatever the mode mask of the process is
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runAs runs a subcommand as another user, who cannot read the configuration.
func (s *sharedSocket) runAs(uid uint32, member bool, args ...string) (string, error) {
	cmd := exec.Command(s.binary, append(args, "--socket", s.socket)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if member {
		cmd.SysProcAttr.Credential.Groups = []uint32{s.gid}
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, errOut.String())
	}
	return out.String(), nil
}

func uidOf(t *testing.T, name string) uint32 {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid)
}

// TestControlSocket_PeopleSpeakAsThemselves connects as real users. The kernel
// identifies them, whatever they claim.
func TestControlSocket_PeopleSpeakAsThemselves(t *testing.T) {
	s := startSharedSocket(t, storetest.SQLite(t))
	if info, err := os.Stat(s.socket); err != nil || info.Mode().Perm() != 0o660 || info.Sys().(*syscall.Stat_t).Gid != s.gid {
		t.Errorf("got %v, %v, want mode 0660 and the group", info, err)
	}
	opened, err := s.sendCommand("open sev3 a leaked key")
	if err != nil {
		t.Fatal(err)
	}
	id := opened.Result.Incident.ID
	note := func(uid uint32, member bool) error {
		_, err := s.runAs(uid, member, "incident", "note", id.String(), "by", strconv.Itoa(int(uid)))
		return err
	}
	for _, uid := range []uint32{uidOf(t, responderUser), namelessUID} {
		if err := note(uid, true); err != nil {
			t.Errorf("user id %d: %v", uid, err)
		}
	}
	if err := note(uidOf(t, responderUser), false); err == nil || !strings.Contains(err.Error(), "you may not connect") || strings.Contains(err.Error(), "--key") {
		t.Errorf("got %v, want a user outside the group kept out", err)
	}
	for uid, want := range map[uint32]string{65532: "belongs to no person", 65534: "belongs to no person", uidOf(t, "bin"): "not linked to a person"} {
		if err := note(uid, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("user id %d: got %v, want nobody", uid, err)
		}
	}
	var by []incident.PersonID
	for _, e := range s.view(id).Timeline {
		if e.Kind == incident.EventNoted {
			by = append(by, e.By)
		}
	}
	reply, err := s.sendCommand("status " + id.String())
	if err != nil {
		t.Fatal(err)
	}
	if len(by) != 2 || reply.Names[by[0]] != s.company.People[1].Name || reply.Names[by[1]] != s.company.People[2].Name {
		t.Errorf("got notes by %v, want one by each person", by)
	}
}

// TestControlSocket_AdministratorsOnly tries every operation for administrators as
// a responder who is none, and as root, who is none if others are configured.
func TestControlSocket_AdministratorsOnly(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startSharedSocket(t, url)
		commands := [][]string{{"keys", "rotate"}, {"verify"}, {"retention"}, {"reload"}, {"reload", "--status"}, {"replay", "--since", "2h"},
			{"replay", "--since", "2h", "--as-new"}, {"replay", "--since", "2h", "--out", "/tmp/never"}}
		responder, lawyer := uidOf(t, responderUser), uidOf(t, lawyerUser)
		for _, args := range commands {
			typed := strings.Join(args[:min(len(args), 2)], " ")
			if len(args) > 3 {
				typed = "replay " + args[3]
			}
			if out, err := s.runAs(responder, true, args...); err == nil || !strings.Contains(err.Error(), "only administrators may use tocsin "+typed+",") {
				t.Errorf("%v: got %q, %v, want it refused", args, out, err)
			}
		}
		if got := s.count("SELECT count(*) FROM audit WHERE NOT allowed AND action IN ('rotate', 'verify', 'retention', 'reload', 'reload-status', 'reprocess', 'replay-as-new', 'export')"); got != 8 {
			t.Errorf("got %d refusals in the audit log, want 8", got)
		}
		if out, err := s.run("verify"); err != nil { // root runs the bot
			t.Errorf("the user that runs the bot: got %q, %v", out, err)
		}
		s.updateConfig(func(c map[string]any) { c["administrators"] = []string{lawyerUser} })
		s.mustRun("reload")
		if _, err := s.run("verify"); err == nil || !strings.Contains(err.Error(), "root is not one") {
			t.Errorf("got %v, want root refused, who is not configured", err)
		}
		for _, args := range [][]string{{"verify"}, {"retention"}, {"keys", "rotate"}, {"reload", "--status"}} {
			if out, err := s.runAs(lawyer, true, args...); err != nil {
				t.Errorf("%v: got %q, %v, want the administrator let in", args, out, err)
			}
		}
	})
}

// TestControlSocket_AdministratorNamesReplacement names a replacement as a user who
// is no person, as the user that runs a service. Security excludes one of the two
// people of legal before.
func TestControlSocket_AdministratorNamesReplacement(t *testing.T) {
	const securityUser, operator = "bin", "sys"
	s := startSharedSocket(t, storetest.SQLite(t), func(c map[string]any) {
		c["administrators"] = []string{operator}
		c["people"].([]any)[4].(map[string]any)["local"] = securityUser
	})
	opened, err := s.sendCommand("open sev3 a leaked key")
	if err != nil {
		t.Fatal(err)
	}
	id, legal, payments := opened.Result.Incident.ID.String(), s.company.In("legal"), s.company.In("payments")
	replace := []string{"incident", "replacement", id, "legal", payments[0].Email, "because", "the only signer is a suspect"}
	if out, err := s.runAs(uidOf(t, operator), true, replace...); err == nil || !strings.Contains(err.Error(), "2 people act for legal") {
		t.Errorf("got %q, %v, want a conflict, because two people act for legal", out, err)
	}
	if out, err := s.runAs(uidOf(t, securityUser), true, "incident", "exclude", id, legal[1].Email, "because", "a suspect"); err != nil {
		t.Fatalf("exclude: got %q, %v", out, err)
	}
	if out, err := s.runAs(uidOf(t, securityUser), true, "incident", "exclude", id, legal[1].Email, "--new-channel", "because", "a suspect"); err != nil || !strings.Contains(out, "continues in a new channel") {
		t.Errorf("exclude --new-channel: got %q, %v", out, err)
	}
	for name, want := range map[string]string{responderUser: "is for administrators", "man": "is not linked to a person"} {
		if out, err := s.runAs(uidOf(t, name), true, replace...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, %v, want it refused", name, out, err)
		}
	}
	if out, err := s.runAs(uidOf(t, operator), true, replace...); err != nil {
		t.Errorf("got %q, %v, want a replacement", out, err)
	}
	if out, err := s.runAs(uidOf(t, operator), true, "incident", "note", id, "x"); err == nil || !strings.Contains(err.Error(), "is not linked to a person") {
		t.Errorf("note: got %q, %v, want it refused", out, err)
	}
	if out, err := s.runAs(uidOf(t, securityUser), true, "incident", "exclude", id, legal[0].Email, "because", "a suspect"); err != nil {
		t.Errorf("exclude the last member of legal: got %q, %v, want a proposal after the replacement", out, err)
	} else if !strings.Contains(out, "proposed to exclude") {
		t.Errorf("exclude the last member of legal: got %q, want a proposal for the replacement to confirm", out)
	}
}

// TestReplayOut_AppliesRestriction exports as administrators who may read different
// incidents. One delivery has two alerts, which opened two incidents.
func TestReplayOut_AppliesRestriction(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startSharedSocket(t, url, func(c map[string]any) { c["administrators"] = []string{"bin", responderUser} })
		for n := range 2 {
			if got := s.trailStatus(n); got != 202 {
				t.Fatalf("got %d, want the delivery accepted", got)
			}
		}
		pair := fmt.Appendf(nil, "[%s,%s]", feed.StopLogging(100).Record(feed.Copy{N: 100, At: time.Now()}), feed.StopLogging(101).Record(feed.Copy{N: 101, At: time.Now()}))
		if a, err := s.company.Trail.Send(t.Context(), s.company.Trail.NewDelivery(pair, "a-pair")); err != nil || a.Status != 202 {
			t.Fatalf("got response %+v, %v, want 202", a, err)
		}
		s.waitFor(30*time.Second, "four incidents", func() bool { return s.count("SELECT count(*) FROM incidents") == 4 })
		// The inbox has the incident of only one of the two alerts. The other stays restricted.
		recorded := s.count("SELECT max(incident_id) FROM inbox WHERE source = 'cloudtrail' AND id = (SELECT max(id) FROM inbox WHERE source = 'cloudtrail')")
		if _, err := s.sendCommand(fmt.Sprintf("public INC-%d", recorded)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.sendCommand("public INC-1"); err != nil {
			t.Fatal(err)
		}
		export := func(uid uint32) (rows int, out string) {
			t.Helper()
			dir := t.TempDir()
			for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
				if err := os.Chmod(d, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(dir, "export.ndjson")
			out, err := s.runAs(uid, true, "replay", "--since", "2h", "--source", "cloudtrail", "--out", file, "--reason", "an audit")
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(raw)) {
				var d control.Recorded
				if err := json.Unmarshal([]byte(line), &d); err != nil || d.Check() != nil || d.Source != "cloudtrail" {
					t.Errorf("got line %.200s, %v", line, err)
				}
				rows++
			}
			return rows, out
		}
		if rows, out := export(uidOf(t, responderUser)); rows != 3 || strings.Contains(out, "left out") {
			t.Errorf("a responder: got %d deliveries, %q, want all", rows, out)
		}
		if rows, out := export(uidOf(t, "bin")); rows != 1 || !strings.Contains(out, "2 deliveries left out") {
			t.Errorf("an administrator who is nobody in the configuration: got %d deliveries, %q, want the public one", rows, out)
		}
		if got := s.count("SELECT count(*) FROM audit WHERE action = 'export' AND incident_id = 2 AND allowed"); got != 1 {
			t.Errorf("got %d reads of the restricted incident in the audit log, want 1", got)
		}
		if got := s.count("SELECT count(*) FROM audit WHERE action = 'export' AND incident_id = 2 AND NOT allowed"); got != 1 {
			t.Errorf("got %d refusals for the restricted incident in the audit log, want 1", got)
		}
	})
}

// TestControlSocket_GroupOfOthers starts a bot as a user who is not a member of the
// group.
func TestControlSocket_GroupOfOthers(t *testing.T) {
	s := startSharedSocket(t, storetest.SQLite(t))
	dir, err := os.MkdirTemp("", "tocsin-member-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	uid := uidOf(t, responderUser)
	config, keyset := filepath.Join(dir, "tocsin.yaml"), filepath.Join(dir, "keyset")
	s.updateConfig(func(c map[string]any) {
		c["telemetry"].(map[string]any)["listen"] = "127.0.0.1:0"
		c["listen"], c["keyset_file"], c["database"], c["control_socket"] = "127.0.0.1:0", keyset, "sqlite:"+filepath.Join(dir, "db"), filepath.Join(dir, "socket")
	})
	raw, err := os.ReadFile(s.config)
	if err == nil {
		err = errors.Join(os.WriteFile(config, raw, 0o644), os.Chown(dir, int(uid), int(uid)))
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, s.binary, args...)
		cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("keys", "create", keyset); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run("serve", "-c", config); err == nil || !strings.Contains(out, "control_socket_group: this process is not a member of the group games. Add its user") {
		t.Errorf("got %v, %s, want a clear refusal", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "socket")); err == nil {
		t.Error("the socket stays open for its owner, although the start failed")
	}
}
