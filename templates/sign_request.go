package templates

import (
	"fmt"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// SignRequest is the text that asks people to sign for a department.
type SignRequest struct {
	Heading string
	Lines   []string
	CanSign bool // the readers can sign, except the head of the department
}

// SignRequestText returns the text of [incident.EffectMessageSigners] and
// [incident.EffectMailSigners]. It names the incident by number only, because the
// readers may not be allowed to read it.
func SignRequestText(args map[string]string, b incident.Brief) SignRequest {
	team, id := incident.Department(args["department"]), b.Incident.ID
	n, _ := strconv.Atoi(args["stage"])
	since := ""
	if b.Incident.Submission != nil {
		since = b.Incident.Submission.At.UTC().Format("2006-01-02 15:04") + " UTC"
	}
	switch incident.SignerStage(n) {
	case incident.SignerHead:
		var able []string
		for _, p := range b.Incident.Representatives(b.Directory, team, b.Now) {
			able = append(able, personName(b.Directory, p))
		}
		lines := []string{fmt.Sprintf("The closing record has waited since %s, and nobody has signed for %s.", since, label(team))}
		if len(able) > 0 {
			lines = append(lines, "These people act for your department: "+strings.Join(able, ", ")+".")
		}
		return SignRequest{Heading: fmt.Sprintf("%s waits for the signature of your department (%s)", id, label(team)), Lines: append(lines, "Please find a person who reads and signs the record.")}
	case incident.SignerDeputies:
		return SignRequest{Heading: fmt.Sprintf("Please sign the closing record of %s as deputy for %s", id, label(team)), CanSign: true,
			Lines: []string{fmt.Sprintf("No member of %s has signed since %s.", label(team), since), "Read the record, then sign it or object."}}
	}
	return SignRequest{Heading: fmt.Sprintf("Please sign the closing record of %s for %s", id, label(team)), CanSign: true,
		Lines: []string{"The closing record was frozen at " + since + ".", "Read the record, then sign it or object. One signature of your department is enough."}}
}

// SignRequestMail returns the text of [SignRequestText] as a mail.
func SignRequestMail(args map[string]string, b incident.Brief) Message {
	r := SignRequestText(args, b)
	l := mailLayout{Origin: b.Incident.Origin, Heading: r.Heading, Lines: r.Lines, Small: "You receive this mail because you act for this department in Tocsin."}
	page := b.Policy.PageURL(b.Incident.ID.SignPath(incident.Department(args["department"])))
	if r.CanSign && page != "" {
		l.Lines = append(l.Lines, "Read and sign: "+page)
	}
	if r.CanSign && (page == "" || b.Incident.RequiredLevel(incident.Command{Verb: incident.VerbSign}, b.Policy) == incident.AuthAny) {
		l.Lines = append(l.Lines, fmt.Sprintf("In Slack, type: /incident sign %s %s", b.Incident.ID, args["department"]))
	}
	return l.message("Tocsin: " + r.Heading)
}
