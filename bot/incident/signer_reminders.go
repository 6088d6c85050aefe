package incident

import (
	"slices"
	"strconv"
	"time"
)

// SignerStage is a group of people that get a request to sign for a department.
type SignerStage int

// The stages of a request to sign. Each one begins if the department has not signed
// before.
const (
	SignerMembers  SignerStage = iota // members and delegates, at the submission
	SignerDeputies                    // after Policy.SignDeputyAfter
	SignerHead                        // after Policy.SignHeadAfter
)

// signerStages are the names of the stages in events.
var signerStages = []string{SignerMembers: "members", SignerDeputies: "deputies", SignerHead: "head"}

func (s SignerStage) String() string { return signerStages[s] }

// signerStage returns the stage of an event.
func (e Event) signerStage() SignerStage {
	return SignerStage(max(0, slices.Index(signerStages, e.Field("stage"))))
}

// The delays of the later stages, unless the configuration has others.
const (
	DefaultSignDeputyAfter = 4 * time.Hour
	DefaultSignHeadAfter   = 24 * time.Hour
)

// askedInPerson returns the people of a stage. The head need not be able to sign.
func (i Incident) askedInPerson(team Department, stage SignerStage, env Env) []PersonID {
	if stage == SignerHead {
		t, _ := env.Directory.Team(team)
		if _, known := env.Directory.Person(t.Head); !known || i.Excludes(t.Head) {
			return nil
		}
		return []PersonID{t.Head}
	}
	return slices.DeleteFunc(i.Representatives(env.Directory, team, env.Now), func(p PersonID) bool {
		deputy := !env.Directory.Member(p, team) && env.Directory.Represents(p, team, env.Now)
		submitter := i.Submission != nil && env.Directory.SameHuman(i.Submission.By, p) && !env.Policy.SubmitterMaySign
		signed := slices.ContainsFunc(i.Signatures, func(s Signature) bool { return env.Directory.SameHuman(s.By, p) })
		return deputy != (stage == SignerDeputies) || submitter || signed
	})
}

// messageSigners builds the messages to the members of every department that signs, and
// the timers of the later stages. Seq of the submission identifies the request.
func messageSigners(c effectBuilder) []Effect {
	var out []Effect
	for _, team := range RequiredDepartments() {
		out = append(out, c.messageStage(team, SignerMembers, c.event.Seq)...)
		for stage, delay := range map[SignerStage]time.Duration{SignerDeputies: c.env.Policy.SignDeputyAfter, SignerHead: c.env.Policy.SignHeadAfter} {
			cmd := Command{Verb: VerbRemindSigners, Department: team, Round: c.event.Seq, EscalationStep: int(stage)}
			out = append(out, c.deadline(cmd, c.event.RecordedAt.Add(delay), c.inc.ID.String()+"/"+strconv.Itoa(c.event.Seq)+"/sign_timer/"+string(team)+"/"+stage.String()))
		}
	}
	slices.SortFunc(out, func(a, b Effect) int { return a.After.Compare(b.After) })
	return out
}

// messageReminded builds the messages of a later stage.
func messageReminded(c effectBuilder) []Effect {
	return c.messageStage(c.event.department(), c.event.signerStage(), c.event.number("request"))
}

// messageStage builds the direct message and the mail to the people of a stage.
func (c effectBuilder) messageStage(team Department, stage SignerStage, request int) []Effect {
	people := c.inc.askedInPerson(team, stage, c.env)
	if len(people) == 0 {
		return nil
	}
	args := map[string]string{"department": string(team), "stage": strconv.Itoa(int(stage)), "request": strconv.Itoa(request), "people": joinList(people)}
	return []Effect{c.effect(EffectMessageSigners, args, string(team)), c.effect(EffectMailSigners, args, string(team))}
}

// remindSigners starts the next stage if the request is still open.
func (d *decider) remindSigners() error {
	team, stage := d.cmd.Department, SignerStage(d.cmd.EscalationStep)
	if !d.inc.AsksToSign(team, d.cmd.Round) || len(d.inc.askedInPerson(team, stage, d.env)) == 0 {
		return nil
	}
	d.emit(EventSignersReminded, fields{"department": string(team), "stage": stage.String(), "request": num(d.cmd.Round)}, nil)
	return nil
}

// sayReminded names the recipients of a reminder.
func sayReminded(e Event) Sentence {
	if e.signerStage() == SignerHead {
		return Say("Tocsin reminded the head of %s of the signature", e.department())
	}
	return Say("Tocsin reminded the deputies of %s to sign", e.department())
}
