package templates

import "time"

// Values of the argument "about" of a notice.
const (
	AboutSecurityTxt = "security_txt" // with "left" (30, 7, 1 or expired) and "expires" (a date)
	AboutFault       = "fault"        // with "part" (a key of degradedParts) and "since" (RFC 3339)
)

// degradedParts are the optional parts that notices cover. They match the checks
// in package bot.
var degradedParts = map[string]struct{ problem, advice string }{
	"configuration":         {"The last reload of the configuration has been refused", "The earlier configuration stays in force, and people, rules and secrets of the new one do not apply. `tocsin reload --status` shows the error."},
	"vulnerability mailbox": {"The vulnerability mailbox has been unreadable", "Reports stay in the mailbox unread until this is fixed. Check the log for the cause: the server is down or rejects the login, or the folder is missing."},
	"trail queue":           {"The queue of CloudTrail log files has been unreadable", "Detection rules do not evaluate these files until this is fixed. No data is lost while the queue retains its messages. Check the log for the cause: the credentials are missing or rejected, or the queue is missing."},
	"pgp key":               {"The PGP key for vulnerability reports has been invalid", "Reporters cannot encrypt their mail. Create a new key or extend this one, publish it at the URL in security.txt, and add it to sources.report.pgp_keys."},
}

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
		p := degradedParts[args["part"]]
		since := args["since"]
		if at, err := time.Parse(time.RFC3339, since); err == nil {
			since = formatUTC(at)
		}
		return p.problem + " since " + since, p.advice
	}
	return "Tocsin needs attention: " + args["about"], "Check the log for details."
}

// NoticeMail returns a notice as a mail, with the text of [NoticeText].
func NoticeMail(args map[string]string) Message {
	problem, advice := NoticeText(args)
	l := mailLayout{Heading: problem, Lines: []string{advice}, Small: "You receive this mail because you represent security. /readyz and /metrics show the current state."}
	return l.message("Tocsin: " + problem)
}
