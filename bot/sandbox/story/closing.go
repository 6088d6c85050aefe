package story

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/sandbox/company"
)

// writeRecord fills in the closing record, in the form, and submits it.
func (p *play) writeRecord() {
	scribe := p.cast.scribe
	record := p.plot.prose.record()
	record["audience"], record["language"] = p.plot.audience, "en"
	p.press(scribe, p.button(`the button "Write the record"`, "record", anyControl), nil)
	begun := fields{}
	for _, name := range []string{"summary", "impact", "root_cause"} {
		begun[name] = record[name]
	}
	p.mustSubmit(scribe, p.form(scribe, "edit_record"), begun)
	p.said("the edited record", scribe.Name, "edited the closing record")
	p.log(p.here(), "%s writes the closing record", called(scribe))

	rest := maps.Clone(record)
	for name := range begun {
		delete(rest, name)
	}
	p.submitted(rest)
}

// submitted submits the record, with what is still missing in it.
func (p *play) submitted(values fields) {
	scribe := p.cast.scribe
	p.press(scribe, p.button(`the button "Submit it"`, "submit", anyControl), nil)
	p.mustSubmit(scribe, p.form(scribe, "submit"), values)
	old := p.report.Digest
	p.message(p.report.Channel, "the submitted record in the channel", func(text string) bool {
		d := digest.FindString(text)
		if !containing("of the closing record for signing", scribe.Name)(text) || d == "" || d == old {
			return false
		}
		p.report.Digest = d
		return true
	})
	for _, d := range signing() {
		p.awaitSignRequest(d)
		p.joined(d, p.Company.In(d)...)
	}
	p.log(p.here(), "%s submits it; engineering, security, legal and communications are asked to sign exactly %s…", called(scribe), short(p.report.Digest))
}

var digest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

func short(d string) string { return d[:min(len(d), len("sha256:")+12)] }

// awaitSignRequest waits for the request to a department to sign the present record.
func (p *play) awaitSignRequest(department string) control {
	return p.button("the request to "+department+" to sign "+short(p.report.Digest), "sign", func(c control) bool {
		return strings.HasSuffix(c.value, "|"+department+"|"+p.report.Digest)
	})
}

// contest is what does not lead to approval: an engineer signs for legal, a
// department objects, the record is amended and submitted again, and somebody
// signs what they read before.
func (p *play) contest() {
	p.signForOtherDepartment()
	// Somebody of another department, with nothing to do until it is submitted again.
	late := p.plot.order[slices.IndexFunc(p.plot.order, func(d string) bool { return d != p.plot.objecting && p.cast.signers[d].ID != p.cast.first.ID })]
	reader := p.cast.signers[late]
	if p.plot.leftOpen {
		p.press(reader, p.awaitSignRequest(late), nil)
		p.oldForm = p.form(reader, "sign")
		p.log(p.here(), "%s opens the record to sign it for %s, and is called away", called(reader), late)
	}
	p.objection()
	p.amended()
	p.signStaleDigest(reader, late)
}

// signForOtherDepartment is an engineer who signs for legal, and may not.
func (p *play) signForOtherDepartment() {
	who := p.cast.impostor
	var told string
	if p.rng.IntN(2) == 0 {
		told = p.types(who, "sign legal %s", p.report.Digest)
	} else {
		p.press(who, p.awaitSignRequest("legal"), nil)
		v := p.form(who, "sign")
		told = p.submit(who, v, fields{"department": "legal", "attest": []string{"yes"}})
		p.closeForm(who, v.ID)
	}
	if p.err == nil && !strings.Contains(told, "belongs neither to legal") {
		p.fail("%s of %s signs for legal and is told: %q", who.Name, who.Department, told)
	}
	p.log(p.here(), "%s tries to sign for legal and is refused: %s", called(who), told)
}

func (p *play) closeForm(who company.Person, view string) {
	if p.err != nil {
		return
	}
	if err := p.chat.Act(who.ID).CloseView(view, true); err != nil {
		p.fail("%s closes a form: %w", who.Name, err)
	}
}

// objection stops the approval, with a reason.
func (p *play) objection() {
	who, team, why := p.cast.objector, p.plot.objecting, p.plot.prose.objections[p.plot.objecting]
	if p.rng.IntN(2) == 0 {
		p.mustType(who, "object %s %s %s", team, p.report.Digest, why)
	} else {
		request := p.awaitSignRequest(team)
		request.action = "object"
		p.press(who, request, nil)
		p.mustSubmit(who, p.form(who, "object"), fields{"department": team, "text": why})
	}
	p.said("the objection", "objected for "+team, "O1", why)
	p.log(p.here(), "%s objects for %s: %s", called(who), team, why)
}

// amended takes the record back, meets the objection and submits it again.
func (p *play) amended() {
	commander := p.cast.first
	p.report.Stale = p.report.Digest
	p.press(commander, p.button(`the button "Amend the record"`, "amend", anyControl), nil)
	p.mustSubmit(commander, p.form(commander, "amend"), fields{"text": "to meet the objection of " + p.plot.objecting})
	p.said("the amendment", commander.Name, "reopened the closing record to amend it")
	p.log(p.here(), "%s amends the record; its signatures are void", called(commander))
	field, text := p.plot.prose.amendment(p.plot.objecting)
	p.submitted(fields{field: text})
	p.said("the end of the objection", "Objection O1 was closed by amending the record")
}

// signStaleDigest is a signature for what the record was before; it is refused.
func (p *play) signStaleDigest(who company.Person, team string) {
	var told string
	if p.plot.leftOpen {
		told = p.submit(who, p.oldForm, fields{"department": team, "attest": []string{"yes"}})
		p.closeForm(who, p.oldForm.ID)
	} else {
		told = p.types(who, "sign %s %s", team, p.report.Stale)
	}
	if p.err == nil && !strings.Contains(told, "the record changed since you read it") {
		p.fail("%s signs the digest of the record before its amendment and is told: %q", who.Name, told)
	}
	p.log(p.here(), "%s signs what they read before, and is refused: the record changed", called(who))
}

// signed are the four signatures, by four people, on one digest.
func (p *play) signed() {
	for n, team := range p.plot.order {
		who := p.cast.signers[team]
		p.press(who, p.awaitSignRequest(team), nil)
		v := p.form(who, "sign")
		if shown := p.read.blocks(v.Blocks); p.err == nil && !strings.Contains(shown, p.report.Digest) {
			p.fail("the form that %s signs does not show the digest %s: %s", who.Name, p.report.Digest, shown)
		}
		p.mustSubmit(who, v, fields{"department": team, "attest": []string{"yes"}})
		p.said("the signature of "+team, "signed for "+team, who.Name, short(p.report.Digest))
		p.report.Signers[team] = who.ID
		p.log(p.here(), "%s signs for %s, %d of 4", called(who), team, n+1)
	}
	p.said("the approval", "Every required department signed", p.report.Digest)
	p.log(p.here(), "approved: four departments signed the same record")
}
