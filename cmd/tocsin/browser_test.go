package main

import (
	"log/slog"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
)

// TestDemo_InBrowser takes an incident from the first alert to the end of the review on
// the demo's page. It stores screenshots of each stage in the folder screenshots,
// which git ignores.
func TestDemo_InBrowser(t *testing.T) {
	findChromium(t)
	d, err := startDemo(t.Context(), demoOptions{Dir: t.TempDir(), Seed: 1, Limits: chat.Limits{Off: true}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := servePage(d.Company, "127.0.0.1:0", nil, deliveryOutcome(d.Bot))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	v := openBrowser(t, w.URL, d.Company)
	for _, stage := range []func(*browserDriver){
		(*browserDriver).openStartPage, (*browserDriver).triggerAlert, (*browserDriver).acknowledge, (*browserDriver).finishSteps, (*browserDriver).typeCommands, (*browserDriver).containAndResolve,
		(*browserDriver).writeRecord, (*browserDriver).objectAndAmend, (*browserDriver).signForEachDepartment, (*browserDriver).readPostmortem, (*browserDriver).holdReview, (*browserDriver).checkOtherViews,
	} {
		stage(v)
	}
}

// openStartPage checks the page before any action.
func (v *browserDriver) openStartPage() {
	v.waitText("#team-name", "Payroll")
	v.waitText("#panel h2", "Your first incident")
	v.waitText("#messages", "")
	v.screenshot("start")
}

// triggerAlert sends an alert and finds the page at PagerDuty and the channel.
func (v *browserDriver) triggerAlert() {
	v.switchPerson(v.company.In("engineering")[0])
	v.openTab("alerts")
	v.screenshot("alerts")
	v.press("[data-testid=alert-cloudtrail-access-key]", "")
	v.waitText("[data-testid=alert-answer]", "1 × 202")
	v.waitText("[data-testid=channel]", "inc-1")
	v.screenshot("alert-sent")
	v.openTab("pager")
	v.waitText("[data-testid=pager-incident][data-status=triggered]", "INC-1")
	v.screenshot("pager-triggered")
	v.openChannel("inc-1")
	v.waitText(".message.pinned", "INC-1")
	v.waitText("[data-action-id=step_done][data-value*=preserve-evidence]", "Done")
	v.scrollToEnd(false)
	v.screenshot("channel-top")
	v.scrollToEnd(true)
	v.screenshot("channel-end")
}

// acknowledge acknowledges the incident in Slack and raises the severity, which pages
// again. Another person acknowledges that page in PagerDuty.
func (v *browserDriver) acknowledge() {
	first, second := v.company.In("engineering")[0], v.company.In("security")[0]
	v.pressAction("ack", "INC-1")
	v.waitMessage(first.Name, "acknowledged the incident")
	v.waitText(".message[data-ephemeral=true]", "You acknowledged")
	v.waitText(".message.pinned", first.Name)
	v.scrollTo(".message.pinned")
	v.screenshot("card-acknowledged")
	v.scrollToEnd(true)
	v.screenshot("acknowledged")
	v.selectOption(".message[data-ephemeral=true] [data-action-id=severity]", "INC-1|sev1")
	v.waitMessage("changed the severity", "sev1", first.Name)
	v.switchPerson(second)
	v.openTab("pager")
	v.press("[data-testid=pager-ack]", "")
	v.waitText("[data-testid=pager-incident][data-status=acknowledged]", "INC-1/2")
	v.waitMessage(second.Name, "acknowledged the incident")
	v.scrollToEnd(true)
	v.screenshot("severity-raised-and-page-acknowledged")
	v.switchPerson(first)
}

// finishSteps completes one step of the playbook and skips another.
func (v *browserDriver) finishSteps() {
	v.pressAction("step_done", "identify-key")
	v.waitForm("step_done")
	v.fill("text", "Deployment user of account 123456789012, last used eleven minutes ago from an unknown address.")
	v.screenshot("step-done-form")
	v.submitForm()
	v.waitMessage("completed step", "Deployment user of account")
	v.pressAction("step_skip", "disable-key")
	v.waitForm("step_skip")
	v.press("[data-testid=modal-submit]", "")
	v.waitText("[data-testid=field-error]", "")
	v.screenshot("step-skip-without-reason")
	v.fill("text", "The vault disabled the key automatically.")
	v.submitForm()
	v.waitMessage("skipped step", "The vault disabled the key")
	v.scrollToEnd(true)
	v.screenshot("steps")
}

// typeCommands types commands: facts, a misspelled verb, help and status.
func (v *browserDriver) typeCommands() {
	v.sendMessage("/incident fact occurred yesterday 23:10 because CloudTrail has the first foreign call then")
	v.waitMessage("recorded that the incident began", "first foreign call")
	v.sendMessage("/incident fact personal_data suspected because the user's policy reaches the bucket with payslips")
	v.waitMessage("set personal data to", "suspected")
	v.sendMessage("/incident fact aware gdpr today 00:01 because the bucket's own log shows a download")
	v.waitMessage("recorded awareness under", "gdpr")
	v.scrollToEnd(true)
	v.screenshot("facts")
	v.sendMessage("/incident sevrity sev2")
	v.waitText(".message[data-ephemeral=true]", "severity")
	v.scrollToEnd(true)
	v.screenshot("mistyped")
	v.sendMessage("/incident help")
	v.waitText(".message[data-ephemeral=true]", "/incident ack")
	v.scrollToEnd(true)
	v.screenshot("help")
	v.sendMessage("/incident status")
	v.waitText(".message[data-ephemeral=true]", "Open steps")
	v.scrollToEnd(true)
	v.screenshot("status")
}

// containAndResolve marks the incident as contained and resolved.
func (v *browserDriver) containAndResolve() {
	v.pressAction("contain", "")
	v.waitForm("contain")
	v.fill("text", "Both keys are inactive and sessions are revoked.")
	v.screenshot("contain-form")
	v.submitForm()
	v.waitMessage("marked the incident as contained", "Both keys are inactive")
	v.sendMessage("/incident resolve all credentials are replaced, no unknown key is left because the open steps belong to other teams")
	v.waitMessage("marked the incident as resolved", "no unknown key is left")
	v.waitText("[data-action-id=record]", "Edit the record")
	v.scrollToEnd(true)
	v.screenshot("resolved")
	v.scrollTo(".message.pinned")
	v.screenshot("card-resolved")
}

var closingRecord = [][2]string{
	{"summary", "A long-lived access key was used from outside to make another key for an administrator. Both were disabled within minutes of the alert."},
	{"impact", "The key could read the bucket with payslips. Its access log shows the files read."},
	{"root_cause", "A build log that all employees could read contained a long-lived key of a deployment user."},
	{"contributing_factors", "The user had more rights than the deployment needed."},
	{"what_was_done", "The keys were disabled, sessions revoked, logs saved, and every secret within reach was replaced."},
	{"what_detected_it", "The rule on access keys made for another user, a minute after it happened."},
	{"what_will_detect_it", "An alarm on any use of a long-lived key from an unknown network."},
	{"what_will_prevent_it", "The build gets short-lived credentials. A policy forbids long-lived keys."},
	{"audience", "all"},
	{"language", "en"},
}

// writeRecord submits the closing record, at first without a required field.
func (v *browserDriver) writeRecord() {
	v.switchPerson(v.company.In("engineering")[3]) // the submitter does not sign
	v.pressAction("submit", "INC-1")
	v.waitForm("submit")
	v.screenshot("record-form")
	for _, f := range closingRecord {
		if f[0] != "root_cause" {
			v.fill(f[0], f[1])
		}
	}
	v.press("[data-testid=modal-submit]", "")
	v.waitText("[data-block-id=root_cause] [data-testid=field-error]", "")
	v.screenshot("record-field-error")
	v.fill("root_cause", "A build log that all employees could read contained a long-lived key of a deployment user.")
	v.submitForm()
	v.waitMessage("of the closing record for signing")
	v.waitText("[data-action-id=sign][data-value*='|communications|']", "Sign")
	v.scrollToEnd(true)
	v.screenshot("asked-to-sign")
}

// objectAndAmend objects for legal and amends the closing record.
func (v *browserDriver) objectAndAmend() {
	v.switchPerson(v.company.In("legal")[0])
	v.pressAction("object", "|legal|")
	v.waitForm("object")
	v.fill("text", "The impact does not say how many employees are affected.")
	v.screenshot("object-form")
	v.submitForm()
	v.waitMessage("objected for legal", "how many employees")
	v.scrollToEnd(true)
	v.screenshot("objection")
	v.switchPerson(v.company.In("engineering")[3])
	v.pressAction("amend", "INC-1")
	v.waitForm("amend")
	v.fill("text", "To say how many employees are affected.")
	v.submitForm()
	v.waitMessage("reopened the closing record to amend it")
	v.pressAction("submit", "INC-1")
	v.waitForm("submit")
	v.fill("impact", "The key could read the bucket with payslips of 1200 employees. Its access log shows that three were read.")
	v.submitForm()
	v.waitMessage("Objection O1 was closed")
	v.waitTrue("four requests to sign the amended record", `() => document.querySelectorAll("[data-action-id=sign]").length === 4`)
	v.scrollToEnd(true)
	v.screenshot("amended")
}

// signForEachDepartment signs as one representative per department.
func (v *browserDriver) signForEachDepartment() {
	for n, department := range []string{"engineering", "security", "legal", "communications"} {
		who := v.company.In(department)[0]
		v.switchPerson(who)
		v.openChannel("inc-1")
		v.pressAction("sign", "|"+department+"|")
		v.waitForm("sign")
		v.fill("attest", "yes")
		if n == 0 {
			v.screenshot("sign-form")
		}
		v.submitForm()
		v.waitMessage("signed for "+department, who.Name)
	}
	v.waitMessage("Every required department signed")
	v.waitText("[data-testid=file]", "postmortem")
	v.scrollToEnd(true)
	v.screenshot("approved")
}

// readPostmortem opens the files in the channel and the mail.
func (v *browserDriver) readPostmortem() {
	v.press("[data-testid=file][data-name$='.md'] [data-testid=file-open]", "")
	v.waitText("[data-testid=file][data-name$='.md'] pre", "sha256:")
	v.screenshot("postmortem-markdown")
	v.press("[data-testid=file][data-name$='.md'] [data-testid=file-open]", "")
	v.press("[data-testid=file][data-name$='.html'] [data-testid=file-open]", "")
	v.waitText("[data-testid=file][data-name$='.html'] iframe", "")
	v.waitTrue("the end of the page", `() => { document.querySelector("[data-name$='.html'] iframe").scrollIntoView({ block: "end" }); return true; }`)
	v.screenshot("postmortem-page")
	v.openChannel("incidents")
	v.waitMessage("The postmortem of INC-1")
	v.openTab("mail")
	v.press("[data-testid=mail]", "ostmortem")
	v.waitText("[data-testid=mail-open]", "INC-1")
	v.screenshot("announced-and-mailed")
	v.press("[data-testid=mail-back]", "")
	v.openChannel("inc-1")
}

// holdReview schedules the meeting, reads the invitation and concludes the review.
func (v *browserDriver) holdReview() {
	chair := v.company.In("engineering")[0]
	v.switchPerson(chair)
	v.pressAction("review_schedule", "INC-1")
	v.waitForm("schedule_review")
	day := time.Now().AddDate(0, 0, 5)
	v.fill("when", day.Format(time.DateOnly)+"T10:00")
	v.screenshot("schedule-form")
	v.submitForm()
	v.waitMessage("scheduled the review meeting", chair.Name)
	v.openTab("mail")
	v.press("[data-testid=mail]", "eview")
	v.waitText("[data-testid=invitation]", "INC-1")
	v.scrollToEnd(true)
	v.screenshot("invitation")
	v.pressAction("review_conclude", "INC-1")
	v.waitForm("conclude_review")
	v.fill("attendance", chair.ID, v.company.In("security")[0].ID, v.company.In("legal")[0].ID)
	v.fill("text", "Long-lived keys end this quarter. Build logs are scanned before publication.")
	v.screenshot("conclude-form")
	v.fill("detection", "Alarm on any use of a long-lived key from an unknown network")
	v.fill("detection_owner", v.company.In("security")[0].ID)
	v.fill("detection_due", day.AddDate(0, 1, 0).Format(time.DateOnly))
	v.fill("prevention", "Short-lived credentials for the build")
	v.fill("prevention_owner", v.company.In("engineering")[2].ID)
	v.fill("prevention_due", day.AddDate(0, 2, 0).Format(time.DateOnly))
	v.submitForm()
	v.waitMessage("The incident was closed.")
	v.waitText(".message.pinned", "closed")
	v.scrollToEnd(true)
	v.screenshot("closed")
	v.scrollTo(".message.pinned")
	v.screenshot("card-closed")
}

// checkOtherViews checks the app's home, the fault switches, the log, the dark scheme
// and a narrow screen.
func (v *browserDriver) checkOtherViews() {
	v.openTab("alerts")
	v.press("[data-testid=alert-sentry-data-leak]", "")
	v.waitText("[data-testid=channel]", "inc-2")
	v.openChannel("Home")
	v.waitText("[data-testid=home]", "INC-2")
	v.openTab("faults")
	v.screenshot("home-and-faults")
	v.openTab("log")
	v.waitText("[data-testid=log-entry]", "chat.postMessage")
	v.openChannel("inc-2")
	v.waitText(".message.pinned [data-action-id=ack]", "Acknowledge")
	v.scrollToEnd(false)
	v.setScreen(1400, 950, "dark")
	v.screenshot("dark-channel-and-log")
	v.pressAction("fact", "INC-2")
	v.waitForm("set_fact")
	v.screenshot("dark-form")
	v.closeForm()
	v.setScreen(390, 844, "light")
	v.scrollTo(".message.pinned")
	v.screenshot("narrow-card")
	v.scrollToEnd(true)
	v.screenshot("narrow-end")
	v.press("#panes button", "Channels")
	v.screenshot("narrow-channels")
	v.press("#panes button", "Tools")
	v.openTab("pager")
	v.waitText("[data-testid=pager-incident][data-status=triggered]", "INC-2")
	v.screenshot("narrow-pager")
}
