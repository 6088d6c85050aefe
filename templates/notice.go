package templates

import (
	"fmt"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// Values of the argument "about" of a notice.
const (
	AboutSecurityTxt = "security_txt" // with "left" (30, 7, 1 or expired) and "expires" (a date)
	// AboutFault is about the "part" of Tocsin that does not work "since" a time (RFC
	// 3339), with "cause", "effect" and "fix". With "recovered" (RFC 3339) it works again.
	// Earlier versions give the part and the time only.
	AboutFault = "fault"
)

// NoticeText returns the text of a notice about Tocsin: the problem, without a full
// stop, and the advice.
func NoticeText(args map[string]string) (problem, advice string) {
	switch args["about"] {
	case AboutSecurityTxt:
		problem = "/.well-known/security.txt expires on " + args["expires"]
		switch args["left"] {
		case "expired":
			problem = "/.well-known/security.txt expired on " + args["expires"]
		case "1":
			problem += ", within a day"
		default:
			problem += ", in " + args["left"] + " days or less"
		}
		return problem, "Check its fields and set a new date in sources.report.security_txt.expires. Researchers must not use an expired file."
	case AboutFault:
		return faultText(args)
	case incident.AboutRestore:
		return fmt.Sprintf("Restored from the backup of %s, and paused until an administrator releases the restore", formatInstant(args["backup"])),
			fmt.Sprintf("New alerts open incidents and page. Work from before the restore waits: %s messages, pages, mails and deadlines, and %s deliveries. Incidents that nobody has acknowledged: %s. "+
				"Run tocsin backup release on the machine of Tocsin. It lists what waits and asks before it changes anything. You receive this mail every 15 minutes until then.",
				args["effects"], args["deliveries"], args["incidents"])
	case incident.AboutTestPage:
		return missedTestText(args)
	case incident.AboutPasskey:
		return passkeyText(args)
	case incident.AboutSignIn:
		return signInText(args)
	case incident.AboutLoginLink:
		return fmt.Sprintf("%s made a login link for %s at %s", args["by"], args["person"], formatInstant(args["at"])),
			"It signs " + args["person"] + " in on the pages without an identity provider, for 10 minutes and once. If you do not expect it, run tocsin sessions end on the machine of Tocsin, and find out who has access to it."
	}
	return "Tocsin needs attention: " + args["about"], "Check the log for details."
}

// signInText returns the text of the notice about a sign-in without an issuer.
func signInText(args map[string]string) (problem, advice string) {
	way := "a passkey alone"
	if args["through"] == incident.ThroughHost {
		way = "a login link from the host"
	}
	return fmt.Sprintf("%s signed in with %s at %s", args["person"], way, formatInstant(args["at"])), "No identity provider vouched for it. If " + args["person"] + " did not do it, run tocsin sessions end on the machine of Tocsin and revoke the passkey."
}

// faultText returns the text of a notice about a part of Tocsin.
func faultText(args map[string]string) (problem, advice string) {
	if args["recovered"] != "" {
		return fmt.Sprintf("Works again: %s (degraded from %s to %s)", args["part"], formatInstant(args["since"]), formatInstant(args["recovered"])),
			"You need not do anything. The last cause was: " + args["cause"] + "."
	}
	problem = fmt.Sprintf("Degraded since %s: %s", formatInstant(args["since"]), args["part"])
	if args["cause"] == "" {
		return problem, "/readyz shows the cause and the fix."
	}
	return problem, args["cause"] + ". " + args["effect"] + ". " + args["fix"] + "."
}

// formatInstant formats an RFC 3339 time for people. It returns other text unchanged.
func formatInstant(s string) string {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return formatUTC(at)
	}
	return s
}

// TestPageMail returns the mail of a test page. Its code proves that a person has it.
func TestPageMail(t incident.TestPageText) Message {
	l := mailLayout{Heading: "TEST: this is a test page of Tocsin", Lines: []string{
		"Nothing is wrong, and you do not need to respond to an incident.",
		strings.ReplaceAll(t.Advice(), "`", "") + ". The acknowledgement proves that pages by mail reach you."}}
	return l.message("TEST page of Tocsin " + t.Code)
}

// missedTestText returns the text of the notice about a missed test page.
func missedTestText(args map[string]string) (problem, advice string) {
	waited, _ := time.ParseDuration(args["waited"]) // zero if damaged
	problem = fmt.Sprintf("Nobody acknowledged the test page of %s in %s", formatInstant(args["started"]), formatDuration(waited))
	advice = "A real page would have reached nobody either."
	if args["next"] != "" {
		advice = "Tocsin now tests step " + args["next"] + " of the escalation policy."
	}
	if args["stranger"] != "" {
		advice += " " + args["stranger"] + " acknowledged it in PagerDuty, but the account belongs to no responder. Add it under people."
	}
	return problem, advice + " Check who is on call, and whether their pagers work. Then type /incident page test."
}

// NoticeMail returns a notice as a mail, with the text of [NoticeText].
func NoticeMail(args map[string]string) Message {
	problem, advice := NoticeText(args)
	small := "You receive this mail because you represent security. /readyz and /metrics show the current state."
	if args["about"] == incident.AboutPasskey {
		small = "You receive this mail because it is about your passkeys, or because you represent security."
	}
	l := mailLayout{Heading: problem, Lines: []string{advice}, Small: small}
	return l.message("Tocsin: " + problem)
}
