package story

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/sandbox/company"
)

// writeRecord confirms a draft and fills in some fields of the closing record in the
// form. It then submits the record with the others.
func (p *player) writeRecord() {
	scribe := p.cast.scribe
	record := p.scenario.texts.record()
	record["audience"], record["language"] = p.scenario.audience, "en"
	p.press(scribe, p.awaitButton("record"), nil)
	first := formValues{}
	for _, name := range []string{"summary", "impact", "root_cause"} {
		first[name] = record[name]
	}
	first["confirm"] = []string{"what_detected_it"}
	p.mustSubmit(scribe, p.awaitForm(scribe, "edit_record"), first)
	p.log(p.channelName(), "%s edited the closing record", nameAndDepartment(scribe))

	rest := maps.Clone(record)
	for name := range first {
		delete(rest, name)
	}
	p.submitRecord(rest)
}

// submitRecord submits the record with these values and waits for the requests
// to sign.
func (p *player) submitRecord(values formValues) {
	scribe := p.cast.scribe
	p.press(scribe, p.awaitButton("submit"), nil)
	p.mustSubmit(scribe, p.awaitForm(scribe, "submit"), values)
	old := p.result.Digest
	p.awaitText("the submitted record", msgRecordSubmitted, scribe.Name)
	request := p.awaitControl("a request to sign another digest than "+shortDigest(old), "sign", func(c control) bool {
		d := digestPattern.FindString(c.value)
		return d != "" && d != old
	})
	p.result.Digest = digestPattern.FindString(request.value)
	for _, d := range signingDepartments() {
		p.awaitSignRequest(d)
		p.awaitMembers(d, p.Company.In(d)...)
	}
	p.log(p.channelName(), "%s submitted the closing record, and tocsin requested four signatures for %s…", nameAndDepartment(scribe), shortDigest(p.result.Digest))
}

var digestPattern = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

func shortDigest(d string) string { return d[:min(len(d), len("sha256:")+12)] }

// awaitSignRequest waits for the request to a department to sign the current
// record, and returns its button.
func (p *player) awaitSignRequest(department string) control {
	return p.awaitControl("the request to "+department+" to sign "+shortDigest(p.result.Digest), "sign", func(c control) bool {
		return strings.HasSuffix(c.value, "|"+department+"|"+p.result.Digest)
	})
}

// contest runs the part of the sign-off that does not lead to approval. An
// engineer tries to sign for legal, a department objects, the record is amended
// and submitted again, and a person tries to sign the old version.
func (p *player) contest() {
	p.signForOtherDepartment()
	// The reader is neither the commander nor of the objecting department.
	late := p.scenario.signOrder[slices.IndexFunc(p.scenario.signOrder, func(d string) bool { return d != p.scenario.objecting && p.cast.signers[d].ID != p.cast.first.ID })]
	reader := p.cast.signers[late]
	if p.scenario.staleForm {
		p.press(reader, p.awaitSignRequest(late), nil)
		p.staleForm = p.awaitForm(reader, "sign")
		p.log(p.channelName(), "%s opened the form to sign for %s and left it open", nameAndDepartment(reader), late)
	}
	p.object()
	p.amendRecord()
	p.signStaleDigest(reader, late)
}

// signForOtherDepartment tries to sign for legal as an engineer, which the bot
// must reject.
func (p *player) signForOtherDepartment() {
	who := p.cast.wrongSigner
	var reply string
	if p.rng.IntN(2) == 0 {
		reply = p.typeCommand(who, "sign legal %s", p.result.Digest)
	} else {
		p.press(who, p.awaitSignRequest("legal"), nil)
		v := p.awaitForm(who, "sign") // without fields
		reply = p.read.blocks(v.Blocks)
		p.closeForm(who, v.ID)
	}
	if p.err == nil && !strings.Contains(reply, msgNotAMember) {
		p.fail("sign for legal as %s of %s: got reply %q", who.Name, who.Department, reply)
	}
	p.log(p.channelName(), "%s tried to sign for legal and was rejected: %s", nameAndDepartment(who), reply)
}

func (p *player) closeForm(who company.Person, view string) {
	if p.err != nil {
		return
	}
	if err := p.chat.Act(who.ID).CloseView(view, true); err != nil {
		p.fail("close form as %s: %w", who.Name, err)
	}
}

// object objects to the record for a department.
func (p *player) object() {
	who, team, reason := p.cast.objector, p.scenario.objecting, p.scenario.texts.objections[p.scenario.objecting]
	if p.rng.IntN(2) == 0 {
		p.mustType(who, "object %s %s %s", team, p.result.Digest, reason)
	} else {
		request := p.awaitSignRequest(team)
		request.action = "object"
		p.press(who, request, nil)
		p.mustSubmit(who, p.awaitForm(who, "object"), formValues{"department": team, "text": reason})
	}
	p.awaitText("the objection", fmt.Sprintf(msgObjected, team), "O1", reason)
	p.log(p.channelName(), "%s objected for %s: %s", nameAndDepartment(who), team, reason)
}

// amendRecord amends the record to address the objection and submits it again.
func (p *player) amendRecord() {
	commander := p.cast.first
	p.result.Stale = p.result.Digest
	p.press(commander, p.awaitButton("amend"), nil)
	p.mustSubmit(commander, p.awaitForm(commander, "amend"), formValues{"text": "to address the objection of " + p.scenario.objecting})
	p.awaitText("the amendment", commander.Name, msgRecordAmended)
	p.log(p.channelName(), "%s amended the record, which voided its signatures", nameAndDepartment(commander))
	field, text := p.scenario.texts.amendment(p.scenario.objecting)
	p.submitRecord(formValues{field: text})
	p.awaitText("the end of the objection", msgObjectionClosed)
}

// signStaleDigest tries to sign the record from before the amendment, which
// the bot must reject.
func (p *player) signStaleDigest(who company.Person, team string) {
	var reply string
	if p.scenario.staleForm {
		reply = p.submit(who, p.staleForm, formValues{"attest": []string{"yes"}})
		p.closeForm(who, p.staleForm.ID)
	} else {
		reply = p.typeCommand(who, "sign %s %s", team, p.result.Stale)
	}
	if p.err == nil && !strings.Contains(reply, msgRecordChanged) {
		p.fail("sign the digest before the amendment as %s: got reply %q", who.Name, reply)
	}
	p.log(p.channelName(), "%s tried to sign the previous version and was rejected because the record changed", nameAndDepartment(who))
}

// signAll signs the record as one person of each department.
func (p *player) signAll() {
	for n, team := range p.scenario.signOrder {
		who := p.cast.signers[team]
		p.press(who, p.awaitSignRequest(team), nil)
		v := p.awaitForm(who, "sign")
		if shown := p.read.blocks(v.Blocks); p.err == nil && !strings.Contains(shown, p.result.Digest) {
			p.fail("the signature form of %s does not show the digest %s: %s", who.Name, p.result.Digest, shown)
		}
		p.mustSubmit(who, v, formValues{"attest": []string{"yes"}})
		p.awaitText("the signature of "+team, team, msgSigned, who.Name)
		p.result.Signers[team] = who.ID
		p.log(p.channelName(), "%s signed for %s (%d of 4)", nameAndDepartment(who), team, n+1)
	}
	p.awaitText("the approval", msgApproved)
	p.log(p.channelName(), "the record was approved because all four departments signed it")
}
