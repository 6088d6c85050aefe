package doctor

import (
	"context"
	"fmt"
	"strings"

	"tocsin/bot/control"
	"tocsin/bot/trust"
)

// checkPasskeys reports the departments without a passkey, if signatures need one.
func (d *Doctor) checkPasskeys(ctx context.Context) {
	const check = "passkeys"
	if d.Config.PublicURL == "" {
		return // there are no pages
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var list trust.PasskeyList
	if err := control.NewClient(d.Config.ControlPath()).Do(ctx, "passkeys-roster", control.Request{}, &list); err != nil {
		d.skip(check, "Only a running bot knows who has one: "+firstLine(err), "Start `tocsin serve` and run this command again")
		return
	}
	d.reportRoster(check, list)
}

// reportRoster reports the enrolment of each department.
func (d *Doctor) reportRoster(check string, list trust.PasskeyList) {
	var all, without []string
	for _, line := range list.Roster {
		all = append(all, fmt.Sprintf("%s %d of %d", line.Department, line.Enrolled, line.People))
		if line.Enrolled == 0 {
			without = append(without, string(line.Department))
		}
	}
	text := "People with a passkey: " + strings.Join(all, ", ")
	switch {
	case len(without) == 0:
		d.ok(check, text)
	case list.Required:
		d.fail(check, text+". Signatures need a passkey, so no record can be signed for "+strings.Join(without, ", "), "Let a person of each department register a passkey on the page Passkeys. docs/passkeys.md describes it")
	default:
		d.skip(check, text, "Let people register passkeys on the page Passkeys. Signatures do not need one here")
	}
}
