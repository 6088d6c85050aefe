//go:build !race

package main_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// TestClose_EngineersAloneCannot makes four engineers try to close an incident without
// the other departments, with Slack and the command line. No postmortem may exist
// before the other departments have signed.
func TestClose_EngineersAloneCannot(t *testing.T) {
	t.Parallel()
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 47, HTTP: true, Limits: chat.Limits{Off: true}})
	engineers := s.company.In("engineering")
	if len(engineers) != 4 {
		t.Fatalf("got %d engineers, want 4", len(engineers))
	}
	first := engineers[0] // also the person of the user who runs the tests
	s.mustRun("incident", "open", "sev3", "--public", "a key in a log line")
	channel := s.channelOf(1).ID
	s.waitFor(time.Minute, "the engineers to be in the channel", func() bool {
		c, _ := s.company.Chat.Channel(channel)
		return !slices.ContainsFunc(engineers, func(p company.Person) bool { return !slices.Contains(c.Members, p.ID) })
	})
	commands := []string{"ack", "contain the key is revoked", "resolve every key is rotated", "record set audience all"}
	for _, field := range []string{"summary", "impact", "root_cause", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		commands = append(commands, "record set "+field+" text of "+field)
	}
	for _, command := range append(commands, "submit") {
		if !s.slashUntilRecorded(first, channel, command) {
			return
		}
	}
	digest := s.view(1).Incident.Submission.Digest
	if !s.slashUntilRecorded(engineers[1], channel, "sign engineering "+digest) {
		return
	}
	rejected := 0
	try := func(who company.Person, command string) {
		t.Helper()
		if reply, err := s.slash(who, channel, command); isRecorded(reply, err) {
			t.Errorf("%s: %q: got it recorded: %q", who.Name, command, reply)
		}
		rejected++
	}
	for _, department := range []string{"engineering", "security", "legal", "communications"} {
		for _, e := range engineers {
			if department == "engineering" && e == engineers[1] {
				continue // has signed validly, and a repeat changes nothing
			}
			try(e, "sign "+department+" "+digest)
		}
		if out, err := s.run("incident", "sign", "INC-1", department, digest); err == nil {
			t.Errorf("command line: engineer signed for %s: %s", department, out)
		}
		if department != "engineering" {
			try(engineers[2], "delegate "+department+" @"+engineers[3].ID+" until 2027-12-01")
		}
	}
	for _, command := range []string{"review conclude with me: all is well", "revise because we say so", "action add detection a rule owner me due 2027-12-24", "submit"} {
		_, _ = s.slash(engineers[3], channel, command)
	}
	v := s.view(1)
	if v.Incident.Status != incident.InReview && v.Incident.Status != incident.Resolved || len(v.Incident.Postmortems) > 0 || len(v.Incident.Signatures) > 1 {
		t.Fatalf("got status %s, %d signatures and %d postmortems, want in review or resolved, at most 1 and 0", v.Incident.Status, len(v.Incident.Signatures), len(v.Incident.Postmortems))
	}
	if len(s.company.Chat.Files()) > 0 || len(s.company.Mail.For(company.EveryoneMail)) > 0 {
		t.Error("got a file or a mail to everyone before all signatures")
	}
	t.Logf("%d attempts rejected, INC-1 is %s", rejected, v.Incident.Status)

	digest = v.Incident.Submission.Digest
	for _, department := range []string{"security", "legal", "communications"} {
		s.slashUntilRecorded(s.company.In(department)[0], channel, "sign "+department+" "+digest)
	}
	s.waitFor(time.Minute, "the mail with the postmortem", func() bool { return len(s.company.Mail.For(company.EveryoneMail)) == 1 })
	if out := s.mustRun("incident", "status", "INC-1"); !strings.Contains(out, string(incident.Approved)) {
		t.Errorf("got status after all signatures, want approved:\n%s", out)
	}
}
