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

// TestFourEngineersCannotClose lets four engineers try to finish an incident by
// themselves, through Slack and the command line. There is no postmortem before
// the other departments have signed.
func TestFourEngineersCannotClose(t *testing.T) {
	t.Parallel()
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 47, HTTP: true, Limits: chat.Limits{Off: true}})
	engineers := s.company.In("engineering")
	if len(engineers) != 4 {
		t.Fatalf("%d engineers", len(engineers))
	}
	first := engineers[0] // who runs the tests is the first of them, too
	s.mustRun("incident", "open", "sev3", "--public", "a key in a log line")
	channel := s.channelOf(1).ID
	s.waitFor(time.Minute, "the engineers are in the channel", func() bool {
		c, _ := s.company.Chat.Channel(channel)
		return !slices.ContainsFunc(engineers, func(p company.Person) bool { return !slices.Contains(c.Members, p.ID) })
	})
	words := []string{"ack", "contain the key is revoked", "resolve every key is rotated", "record set audience all"}
	for _, field := range []string{"summary", "impact", "root_cause", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		words = append(words, "record set "+field+" said about "+field)
	}
	for _, w := range append(words, "submit") {
		if !s.slashUntilRecorded(first, channel, w) {
			return
		}
	}
	digest := s.view(1).Incident.Submission.Digest
	if !s.slashUntilRecorded(engineers[1], channel, "sign engineering "+digest) {
		return
	}
	refused := 0
	try := func(who company.Person, words string) {
		t.Helper()
		if answer, err := s.slash(who, channel, words); isRecorded(answer, err) {
			t.Errorf("%s: %q was answered with %q", who.Name, words, answer)
		}
		refused++
	}
	for _, department := range []string{"engineering", "security", "legal", "communications"} {
		for _, e := range engineers {
			if department == "engineering" && e == engineers[1] {
				continue // signed, as may be; a repeat changes nothing
			}
			try(e, "sign "+department+" "+digest)
		}
		if out, err := s.run("incident", "sign", "INC-1", department, digest); err == nil {
			t.Errorf("the command line lets an engineer sign for %s: %s", department, out)
		}
		if department != "engineering" {
			try(engineers[2], "delegate "+department+" @"+engineers[3].ID+" until 2027-12-01")
		}
	}
	for _, w := range []string{"review conclude with me: all is well", "revise because we say so", "action add detection a rule owner me due 2027-12-24", "submit"} {
		_, _ = s.slash(engineers[3], channel, w)
	}
	v := s.view(1)
	if v.Incident.Status != incident.InReview && v.Incident.Status != incident.Resolved || len(v.Incident.Postmortems) > 0 || len(v.Incident.Signatures) > 1 {
		t.Fatalf("INC-1 is %s with %d signatures and %d postmortems", v.Incident.Status, len(v.Incident.Signatures), len(v.Incident.Postmortems))
	}
	if len(s.company.Chat.Files()) > 0 || len(s.company.Mail.For(company.EveryoneMail)) > 0 {
		t.Error("something that looks like a postmortem went out")
	}
	t.Logf("%d attempts refused; INC-1 is %s", refused, v.Incident.Status)

	digest = v.Incident.Submission.Digest
	for _, department := range []string{"security", "legal", "communications"} {
		s.slashUntilRecorded(s.company.In(department)[0], channel, "sign "+department+" "+digest)
	}
	s.waitFor(time.Minute, "the postmortem is out", func() bool { return len(s.company.Mail.For(company.EveryoneMail)) == 1 })
	if out := s.mustRun("incident", "status", "INC-1"); !strings.Contains(out, string(incident.Approved)) {
		t.Errorf("with all four signatures:\n%s", out)
	}
}
