package templates

import "time"

// What a notice may be about, as its "about" says.
const (
	AboutSecurityTxt = "security_txt" // "left": 30, 7, 1 or expired; "expires": a date
	AboutFault       = "fault"        // "part": a key of parts; "since": an instant
)

// parts are the parts of the house whose faults people are told of.
var parts = map[string]struct{ what, means string }{
	"vulnerability mailbox": {"The vulnerability mailbox cannot be read", "Reports by mail stay in the mailbox until it can; nobody hears of them. The log of the bot says why: whether the server is down, refuses the login, or the folder is gone."},
	"trail queue":           {"The queue of CloudTrail's files cannot be read", "No rule sees what the trail writes; nothing is lost for as long as the queue keeps its messages. The log of the bot says why: whether the credentials are missing or refused, or the queue is gone."},
	"pgp key":               {"The PGP key of the vulnerability alias is not valid any more", "Reporters cannot encrypt to us. Make a new key or prolong this one, publish it where security.txt says, and put it under sources.report.pgp_keys."},
}

// NoticeText is what people are told about the house itself, in two sentences:
// what it is, and what to do.
func NoticeText(args map[string]string) (what, means string) {
	switch args["about"] {
	case AboutSecurityTxt:
		what = "/.well-known/security.txt expires on " + args["expires"]
		switch args["left"] {
		case "expired":
			what = "/.well-known/security.txt expired on " + args["expires"]
		case "1":
			what += ", within a day"
		default:
			what += ", in " + args["left"] + " days or less"
		}
		return what, "Somebody has to check its fields and set a new date under sources.report.security_txt.expires; researchers must not use a file that has expired."
	case AboutFault:
		p := parts[args["part"]]
		since := args["since"]
		if at, err := time.Parse(time.RFC3339, since); err == nil {
			since = utc(at)
		}
		return p.what + ", since " + since, p.means
	}
	return "Something in the house needs you: " + args["about"], "The log of the bot says more."
}

// NoticeMail is the same as a mail.
func NoticeMail(args map[string]string) Message {
	what, means := NoticeText(args)
	l := mailLayout{Heading: what, Lines: []string{means}, Small: "You get this because you speak for security. /readyz and /metrics show how it stands now."}
	return l.message("Tocsin: " + what)
}
