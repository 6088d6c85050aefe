package templates

import (
	"cmp"
	"fmt"
	"maps"

	"tocsin/bot/incident"
)

// NoticeNames returns the arguments of a notice with the names of its people.
func NoticeNames(args map[string]string, d incident.Directory) map[string]string {
	if args["about"] != incident.AboutPasskey {
		return args
	}
	args = maps.Clone(args)
	args["name"], args["by_name"] = d.Name(incident.PersonID(args["person"])), "An administrator on the host"
	if args["by"] != "" {
		args["by_name"] = d.Name(incident.PersonID(args["by"]))
	}
	return args
}

// passkeyText returns the text of a notice about a passkey.
func passkeyText(args map[string]string) (problem, advice string) {
	name, by := cmp.Or(args["name"], args["person"]), cmp.Or(args["by_name"], args["by"], "An administrator on the host")
	const unexpected = "If this is a surprise, "
	switch args["event"] {
	case "passkey_registered":
		return fmt.Sprintf("%s registered a passkey at %s", name, formatInstant(args["at"])),
			"Its fingerprint is " + args["key"] + ". " + unexpected + "revoke it: tocsin passkeys revoke, or on the page Passkeys."
	case "enrolment_code_issued":
		return fmt.Sprintf("%s issued an enrolment code to %s at %s", by, name, formatInstant(args["at"])),
			"With the code and a voucher from another department, a passkey can be registered within 24 hours. " + unexpected + "ask the administrators, and give no voucher."
	case "vouched":
		return fmt.Sprintf("%s vouched at %s for the next passkey of %s", by, formatInstant(args["at"]), name), unexpected + "ask both people, and revoke the passkey that was registered."
	case "passkey_revocation_proposed":
		return fmt.Sprintf("%s wants to revoke a passkey of %s", by, name),
			"A second person from security must confirm it on the page Passkeys within 24 hours. The fingerprint is " + args["key"] + "."
	case "passkey_revoked":
		return fmt.Sprintf("%s revoked a passkey of %s", by, name),
			fmt.Sprintf("It does not count since %s. Its fingerprint is %s. %sask security.", formatInstant(args["since"]), args["key"], unexpected)
	case "counter":
		return fmt.Sprintf("A passkey of %s may have been copied", name),
			fmt.Sprintf("Its counter did not rise at %s, and Tocsin refused it. Its fingerprint is %s. Ask %s whether it was this person, and revoke the passkey if not.", formatInstant(args["at"]), args["key"], name)
	}
	return "The passkeys of " + name + " changed", "The audit log has the details."
}
