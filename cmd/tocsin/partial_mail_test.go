package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/mailbox"
)

// TestPartialMail lets the mail relay refuse one of the recipients of a notice. The others
// get it once, although the bot restarts and tries again. The refused one gets it when the
// relay accepts the address.
func TestPartialMail(t *testing.T) {
	t.Parallel()
	h := startHealthTest(t, false)
	security := h.company.In("security")
	h.company.Mail.SetFaults(mailbox.Rule{Fault: mailbox.FaultPermanent, Stage: mailbox.StageRcpt, To: security[0].Email})
	h.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	h.pass(6 * time.Minute)
	h.waitFor("the outage", func() bool { return h.degraded()["Slack API"] != "" })
	h.pass(16 * time.Minute)
	var wait incident.WaitingEffect
	h.waitFor("the wait for the refused recipient", func() bool {
		all, err := h.bot.Store().WaitingEffects(t.Context(), response.WaitingQuery{System: incident.SystemMail})
		if err != nil || len(all) == 0 {
			return false
		}
		wait = all[0]
		return true
	})
	if !wait.Blocked || !strings.Contains(wait.Cause, "does not accept mail to "+security[0].Name) || !strings.Contains(wait.Cause, security[0].Email) || !strings.HasPrefix(wait.Fix, "Correct the addresses") {
		t.Errorf("got %+v, want a cause that names the recipient, and a fix", wait)
	}
	attempts := func() int {
		all, err := h.bot.Store().WaitingEffects(t.Context(), response.WaitingQuery{Effect: wait.ID})
		if err != nil || len(all) == 0 {
			return 0
		}
		return all[0].Attempts
	}
	h.company.Chat.ClearFaults()
	h.stop()
	h.startBot()
	h.waitFor("an attempt after the restart", func() bool { return attempts() > wait.Attempts })
	h.company.Mail.SetFaults()
	if _, err := h.bot.Store().RetryEffects(t.Context(), response.WaitingQuery{Effect: wait.ID}); err != nil {
		t.Fatal(err)
	}
	h.waitFor("the end of the wait", func() bool { return attempts() == 0 })
	var got []string
	for _, m := range h.company.Mail.Messages() {
		if strings.Contains(m.Subject+m.Text, ": Slack API") && !strings.Contains(m.Subject+m.Text, "Works again") {
			got = append(got, m.Recipients...)
		}
	}
	var want []string
	for _, p := range security {
		want = append(want, p.Email)
	}
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("got the notice at %v, want it once at each of %v", got, want)
	}
}
