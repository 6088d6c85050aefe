package main

import (
	"log/slog"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
)

// TestDemoInBrowser lives the demo as a newcomer does, with their eyes and
// hands: one incident from the first alert to the end of the review. It leaves
// a picture of each stage in the folder screenshots, which git ignores.
func TestDemoInBrowser(t *testing.T) {
	chromium(t)
	d, err := startDemo(t.Context(), demoOptions{Dir: t.TempDir(), Seed: 1, Limits: chat.Limits{Off: true}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := d.open("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	v := lookAt(t, w.URL, d.Company)
	for _, stage := range []func(*viewer){
		(*viewer).arrives, (*viewer).raises, (*viewer).takesIt, (*viewer).worksThroughSteps, (*viewer).typesCommands, (*viewer).endsIt,
		(*viewer).writesTheRecord, (*viewer).objectsAndAmends, (*viewer).signsFourTimes, (*viewer).readsThePostmortem, (*viewer).reviews, (*viewer).looksAround,
	} {
		stage(v)
	}
}

// arrives sees the page for the first time.
func (v *viewer) arrives() {
	v.sees("#team-name", "Payroll")
	v.sees("#panel h2", "What to try")
	v.sees("#messages", "")
	v.shot("start")
}

// raises has an alert sent, sees the page at the pager, and finds the channel.
func (v *viewer) raises() {
	v.is(v.company.In("engineering")[0])
	v.tool("alerts")
	v.shot("alerts")
	v.presses("[data-testid=alert-cloudtrail-access-key]", "")
	v.sees("[data-testid=alert-answer]", "1 × 202")
	v.sees("[data-testid=channel]", "inc-1")
	v.shot("alert-sent")
	v.tool("pager")
	v.sees("[data-testid=pager-incident][data-status=triggered]", "INC-1")
	v.shot("pager-rings")
	v.opens("inc-1")
	v.sees(".message.pinned", "INC-1")
	v.sees("[data-action-id=step_done][data-value*=preserve-evidence]", "Done")
	v.scrolls(false)
	v.shot("channel-top")
	v.scrolls(true)
	v.shot("channel-end")
}

// takesIt presses "Acknowledge" and grades it; graded worse it rings anew, and
// somebody else acknowledges that at the pager.
func (v *viewer) takesIt() {
	first, second := v.company.In("engineering")[0], v.company.In("security")[0]
	v.acts("ack", "INC-1")
	v.reads(first.Name, "acknowledged the incident")
	v.sees(".message[data-ephemeral=true]", "You acknowledged")
	v.sees(".message.pinned", first.Name)
	v.looksAt(".message.pinned")
	v.shot("card-taken")
	v.scrolls(true)
	v.shot("i-have-it")
	v.chooses(".message[data-ephemeral=true] [data-action-id=severity]", "INC-1|sev1")
	v.reads("changed the severity", "sev1", first.Name)
	v.is(second)
	v.tool("pager")
	v.presses("[data-testid=pager-ack]", "")
	v.sees("[data-testid=pager-incident][data-status=acknowledged]", "INC-1/2")
	v.reads(second.Name, "acknowledged the incident")
	v.scrolls(true)
	v.shot("graver-and-acknowledged-at-the-pager")
	v.is(first)
}

// worksThroughSteps does one step of the playbook and skips another.
func (v *viewer) worksThroughSteps() {
	v.acts("step_done", "identify-key")
	v.form("step_done")
	v.fills("text", "Deployment user of account 123456789012, last used eleven minutes ago from an unknown address.")
	v.shot("step-done-form")
	v.submits()
	v.reads("completed step", "Deployment user of account")
	v.acts("step_skip", "disable-key")
	v.form("step_skip")
	v.presses("[data-testid=modal-submit]", "")
	v.sees("[data-testid=field-error]", "")
	v.shot("step-skip-without-reason")
	v.fills("text", "The vault disabled it by itself the moment it was seen.")
	v.submits()
	v.reads("skipped step", "The vault disabled it")
	v.scrolls(true)
	v.shot("steps")
}

// typesCommands sets facts, asks for help, and mistypes.
func (v *viewer) typesCommands() {
	v.says("/incident fact occurred yesterday 23:10 because CloudTrail has the first foreign call then")
	v.reads("set the time of occurrence", "first foreign call")
	v.says("/incident fact personal_data suspected because the user's policy reaches the bucket with payslips")
	v.reads("set personal data to", "suspected")
	v.says("/incident fact aware gdpr today 00:01 because the bucket's own log shows a download")
	v.reads("set the time of awareness under", "gdpr")
	v.scrolls(true)
	v.shot("facts")
	v.says("/incident sevrity sev2")
	v.sees(".message[data-ephemeral=true]", "severity")
	v.scrolls(true)
	v.shot("mistyped")
	v.says("/incident help")
	v.sees(".message[data-ephemeral=true]", "/incident ack")
	v.scrolls(true)
	v.shot("help")
	v.says("/incident status")
	v.sees(".message[data-ephemeral=true]", "Open steps")
	v.scrolls(true)
	v.shot("status")
}

// endsIt says that it is contained and resolved.
func (v *viewer) endsIt() {
	v.acts("contain", "")
	v.form("contain")
	v.fills("text", "Both keys are inactive and sessions are revoked.")
	v.shot("contain-form")
	v.submits()
	v.reads("marked the incident as contained", "Both keys are inactive")
	v.says("/incident resolve all credentials are replaced, nothing foreign is left")
	v.reads("marked the incident as resolved", "nothing foreign is left")
	v.sees("[data-action-id=record]", "Edit the record")
	v.scrolls(true)
	v.shot("resolved")
	v.looksAt(".message.pinned")
	v.shot("card-resolved")
}

var closingRecord = [][2]string{
	{"summary", "A long-lived access key was used from outside to make another key for an administrator. Both were disabled within minutes of the alert."},
	{"impact", "The key could read the bucket with payslips; its access log shows what was read."},
	{"root_cause", "A long-lived key of a deployment user stood in a build log that everybody in the company could read."},
	{"contributing_factors", "The user had more rights than the deployment needed."},
	{"what_was_done", "The keys were disabled, sessions revoked, logs saved, and every secret within reach was replaced."},
	{"what_detected_it", "The rule on access keys made for another user, a minute after it happened."},
	{"what_will_detect_it", "An alarm on any use of a long-lived key from an unknown network."},
	{"what_will_prevent_it", "The build gets short-lived credentials; long-lived keys are forbidden by policy."},
	{"audience", "all"},
	{"language", "en"},
}

// writesTheRecord forgets a field at first, and is told under it.
func (v *viewer) writesTheRecord() {
	v.is(v.company.In("engineering")[3]) // who submits does not sign
	v.acts("submit", "INC-1")
	v.form("submit")
	v.shot("record-form")
	for _, f := range closingRecord {
		if f[0] != "root_cause" {
			v.fills(f[0], f[1])
		}
	}
	v.presses("[data-testid=modal-submit]", "")
	v.sees("[data-block-id=root_cause] [data-testid=field-error]", "")
	v.shot("record-field-error")
	v.fills("root_cause", "A long-lived key of a deployment user stood in a build log that everybody in the company could read.")
	v.submits()
	v.reads("of the closing record for signing")
	v.sees("[data-action-id=sign][data-value*='|communications|']", "Sign")
	v.scrolls(true)
	v.shot("asked-to-sign")
}

// objectsAndAmends is legal objecting, and the record changing for it.
func (v *viewer) objectsAndAmends() {
	v.is(v.company.In("legal")[0])
	v.acts("object", "|legal|")
	v.form("object")
	v.fills("text", "The impact does not say how many employees are concerned.")
	v.shot("object-form")
	v.submits()
	v.reads("objected for legal", "how many employees")
	v.scrolls(true)
	v.shot("objection")
	v.is(v.company.In("engineering")[3])
	v.acts("amend", "INC-1")
	v.form("amend")
	v.fills("text", "To say how many employees are concerned.")
	v.submits()
	v.reads("reopened the closing record to amend it")
	v.acts("submit", "INC-1")
	v.form("submit")
	v.fills("impact", "The key could read the bucket with payslips of 1200 employees; its access log shows that three were read.")
	v.submits()
	v.reads("Objection O1 was closed")
	v.until("four requests for the amended record", `() => document.querySelectorAll("[data-action-id=sign]").length === 8`)
	v.scrolls(true)
	v.shot("amended")
}

// signsFourTimes signs as one person of each department.
func (v *viewer) signsFourTimes() {
	for n, department := range []string{"engineering", "security", "legal", "communications"} {
		who := v.company.In(department)[0]
		v.is(who)
		v.opens("inc-1")
		v.acts("sign", "|"+department+"|")
		v.form("sign")
		v.fills("attest", "yes")
		if n == 0 {
			v.shot("sign-form")
		}
		v.submits()
		v.reads("signed for "+department, who.Name)
	}
	v.reads("Every required department signed")
	v.sees("[data-testid=file]", "postmortem")
	v.scrolls(true)
	v.shot("approved")
}

// readsThePostmortem opens the files in the channel, and the mail.
func (v *viewer) readsThePostmortem() {
	v.presses("[data-testid=file][data-name$='.md'] [data-testid=file-open]", "")
	v.sees("[data-testid=file][data-name$='.md'] pre", "sha256:")
	v.shot("postmortem-markdown")
	v.presses("[data-testid=file][data-name$='.md'] [data-testid=file-open]", "")
	v.presses("[data-testid=file][data-name$='.html'] [data-testid=file-open]", "")
	v.sees("[data-testid=file][data-name$='.html'] iframe", "")
	v.until("the end of the page", `() => { document.querySelector("[data-name$='.html'] iframe").scrollIntoView({ block: "end" }); return true; }`)
	v.shot("postmortem-page")
	v.opens("incidents")
	v.reads("The postmortem of INC-1")
	v.tool("mail")
	v.presses("[data-testid=mail]", "ostmortem")
	v.sees("[data-testid=mail-open]", "INC-1")
	v.shot("announced-and-mailed")
	v.presses("[data-testid=mail-back]", "")
	v.opens("inc-1")
}

// reviews sets the meeting, sees the invitation, and concludes it.
func (v *viewer) reviews() {
	chair := v.company.In("engineering")[0]
	v.is(chair)
	v.acts("review_schedule", "INC-1")
	v.form("schedule_review")
	day := time.Now().AddDate(0, 0, 5)
	v.fills("when", day.Format(time.DateOnly)+"T10:00")
	v.shot("schedule-form")
	v.submits()
	v.reads("scheduled the review meeting", chair.Name)
	v.tool("mail")
	v.presses("[data-testid=mail]", "eview")
	v.sees("[data-testid=invitation]", "INC-1")
	v.scrolls(true)
	v.shot("invitation")
	v.acts("review_conclude", "INC-1")
	v.form("conclude_review")
	v.fills("attendance", chair.ID, v.company.In("security")[0].ID, v.company.In("legal")[0].ID)
	v.fills("text", "Long-lived keys end this quarter; build logs are scanned before anybody can read them.")
	v.shot("conclude-form")
	v.fills("detection", "Alarm on any use of a long-lived key from an unknown network")
	v.fills("detection_owner", v.company.In("security")[0].ID)
	v.fills("detection_due", day.AddDate(0, 1, 0).Format(time.DateOnly))
	v.fills("prevention", "Short-lived credentials for the build")
	v.fills("prevention_owner", v.company.In("engineering")[2].ID)
	v.fills("prevention_due", day.AddDate(0, 2, 0).Format(time.DateOnly))
	v.submits()
	v.reads("The incident was closed.")
	v.sees(".message.pinned", "closed")
	v.scrolls(true)
	v.shot("closed")
	v.looksAt(".message.pinned")
	v.shot("card-closed")
}

// looksAround is the rest of the page: the home of the app with an incident in
// it, the switches and the log, in the dark, and on a telephone.
func (v *viewer) looksAround() {
	v.tool("alerts")
	v.presses("[data-testid=alert-sentry-data-leak]", "")
	v.sees("[data-testid=channel]", "inc-2")
	v.opens("Home")
	v.sees("[data-testid=home]", "INC-2")
	v.tool("faults")
	v.shot("home-and-faults")
	v.tool("log")
	v.sees("[data-testid=log-entry]", "chat.postMessage")
	v.opens("inc-2")
	v.sees(".message.pinned [data-action-id=ack]", "Acknowledge")
	v.scrolls(false)
	v.screen(1400, 950, "dark")
	v.shot("dark-channel-and-log")
	v.acts("fact", "INC-2")
	v.form("set_fact")
	v.shot("dark-form")
	v.closes()
	v.screen(390, 844, "light")
	v.looksAt(".message.pinned")
	v.shot("narrow-card")
	v.scrolls(true)
	v.shot("narrow-end")
	v.presses("#panes button", "Channels")
	v.shot("narrow-channels")
	v.presses("#panes button", "Tools")
	v.tool("pager")
	v.sees("[data-testid=pager-incident][data-status=triggered]", "INC-2")
	v.shot("narrow-pager")
}
