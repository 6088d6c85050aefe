package mail_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/mail"
	"tocsin/bot/sandbox/mailbox"
)

// toSeveral returns every mail that can have several recipients, among them
// ben@example.com, by its kind.
func toSeveral(m *mail.Mailer) map[string]func(*testing.T, incident.Brief) (incident.Command, error) {
	list := []string{"ana@example.com", "Ben Ode <Ben@example.com>", "di@example.com"}
	meeting := at.Add(240 * 3600e9)
	end := incident.Effect{Kind: incident.EffectPageAck, Incident: 42, Args: map[string]string{"round": "1", "escalation_step": "1"}}
	mails := map[string]func(*testing.T, incident.Brief) (incident.Command, error){
		"page": func(t *testing.T, b incident.Brief) (incident.Command, error) {
			return m.PageTo(list)(t.Context(), b, page)
		},
		"withdrawn page": func(t *testing.T, b incident.Brief) (incident.Command, error) {
			b.Incident.Status, b.Incident.Paging = incident.Active, incident.Paging{Round: 1, AcknowledgedBy: "p1"}
			b.Incident.Pages = []incident.PageRef{{Round: 1, EscalationStep: 1}}
			return m.WithdrawPage(list)(t.Context(), b, end)
		},
	}
	args := map[incident.EffectKind]map[string]string{
		incident.EffectMailCancellation: {"people": "p1,p2,p4", "when": meeting.Format("2006-01-02T15:04:05Z07:00")},
		incident.EffectMailHandover:     {"successors": "p1,p2,p4", "person": "p3"},
		incident.EffectMailNotice:       {"about": "health"},
		incident.EffectMailSigners:      {"people": "p1,p2,p4", "department": "security", "request": "7"},
		incident.EffectMailUpdate:       {"update": "U1", "audience": "customers"},
	}
	for kind, send := range m.Handlers() {
		if kind == incident.EffectAcknowledgeReport || kind == incident.EffectMailRemindActions { // to one person
			continue
		}
		mails[string(kind)] = func(t *testing.T, b incident.Brief) (incident.Command, error) {
			b.Document = &incident.Document{Revision: 1, Files: []incident.File{{Name: "x.md", MediaType: "text/markdown", Content: "x"}}}
			b.Incident.Record.Audience = incident.AudienceResponders
			b.Incident.Review.At = meeting
			b.Event.Fields = map[string]string{"when": meeting.Format("2006-01-02T15:04:05Z07:00"), "audience": string(incident.AudienceResponders)}
			if kind == incident.EffectMailWithdrawal {
				b.Event.Kind, b.Event.Fields["people"] = incident.EventPostmortemWithdrawn, "p1,p2,p4"
			}
			if kind == incident.EffectMailSigners {
				b.Incident.Status, b.Incident.Submission = incident.InReview, &incident.Submission{Digest: "d"}
				b.Incident.Requests = []incident.Request{{Seq: 7, Kind: incident.EventSubmitted, Effect: incident.EffectAskSign, Department: incident.Security, Ref: "d"}}
			}
			b.Event.Texts = map[string]incident.Text{"text": {Value: "logins work again"}}
			b.Directory.Audiences = []incident.UpdateAudience{{Name: "customers", Mail: list}}
			b.Directory.Teams[1].Members = []incident.Membership{{Person: "p1"}, {Person: "p2"}, {Person: "p4"}} // security
			return send(t.Context(), b, incident.Effect{Key: "INC-42/9/" + string(kind), Kind: kind, Incident: 42, Args: args[kind]})
		}
	}
	return mails
}

// TestSend_SomeRecipientsRefused refuses one of three recipients of each mail, permanently
// or temporarily. The others get the mail once, and the error names them and the refused
// one, to whom the mail goes after the repair.
func TestSend_SomeRecipientsRefused(t *testing.T) {
	_, sample := relay(t, mailbox.Config{}, nil)
	for kind := range toSeveral(sample) {
		for _, fault := range []mailbox.Fault{mailbox.FaultPermanent, mailbox.FaultTemporary} {
			t.Run(kind+"/"+string(fault), func(t *testing.T) {
				server, m := relay(t, mailbox.Config{}, nil)
				send := toSeveral(m)[kind]
				server.SetFaults(mailbox.Rule{Fault: fault, Stage: mailbox.StageRcpt, To: "ben@example.com"}, mailbox.Rule{Fault: fault, Stage: mailbox.StageRcpt, To: "Ben@example.com"})
				b := brief()
				for b.Attempt = 1; b.Attempt < 4; b.Attempt++ {
					_, err := send(t, b)
					partial := new(incident.Partial)
					if !errors.As(err, &partial) || errors.As(err, new(*incident.Blocked)) != (fault == mailbox.FaultPermanent) {
						t.Fatalf("attempt %d: got error %v", b.Attempt, err)
					}
					if slices.Sort(partial.Reached); fmt.Sprint(partial.Reached) != "[ana@example.com di@example.com]" {
						t.Fatalf("attempt %d: reached %v", b.Attempt, partial.Reached)
					}
					if p := mail.Explain(err); p == nil || !strings.Contains(strings.ToLower(p.Cause), "does not accept mail to ben ode <ben@example.com>") || p.Fix == "" {
						t.Errorf("attempt %d: got problem %+v, want one that names the recipient", b.Attempt, p)
					}
					b.Reached = partial.Reached
				}
				server.SetFaults()
				if _, err := send(t, b); err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, msg := range server.Messages() {
					got = append(got, strings.ToLower(fmt.Sprint(msg.Recipients)))
				}
				if slices.Sort(got); fmt.Sprint(got) != "[[ana@example.com] [ben@example.com] [di@example.com]]" || len(server.Counts()) != 1 {
					t.Errorf("got mails to %v with ids %v, want one to each with one id", got, server.Counts())
				}
			})
		}
	}
}

// TestSend_RefusedRecipientRemoved checks that a mail is complete if the configuration no
// longer names the recipient that the relay refused.
func TestSend_RefusedRecipientRemoved(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	b := brief()
	b.Reached = []string{"ana@example.com"}
	if _, err := m.PageTo([]string{"Ana@example.com"})(t.Context(), b, page); err != nil || len(server.Messages()) != 0 {
		t.Errorf("got error %v and %d mails, want none", err, len(server.Messages()))
	}
}

// TestSend_AllRecipientsRefused checks that the error names a few of many recipients.
func TestSend_AllRecipientsRefused(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	server.SetFaults(mailbox.Rule{Fault: mailbox.FaultPermanent, Stage: mailbox.StageRcpt})
	_, err := m.PageTo([]string{"a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com"})(t.Context(), brief(), page)
	blocked := new(incident.Blocked)
	if !errors.As(err, &blocked) || errors.As(err, new(*incident.Partial)) || blocked.Cause.String() != "the mail relay does not accept mail to a@example.com, b@example.com, c@example.com, 2 more (code 550)" {
		t.Errorf("got error %v", err)
	}
}

// TestSend_ResultWhenSomeAreRefused checks the record of the incident: it has the page, and
// the invited people without the refused one.
func TestSend_ResultWhenSomeAreRefused(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	server.SetFaults(mailbox.Rule{Fault: mailbox.FaultPermanent, Stage: mailbox.StageRcpt, To: "ben@example.com"})
	mails := toSeveral(m)
	invited, _ := mails[string(incident.EffectMailInvitation)](t, brief())
	b := brief()
	b.Reached = []string{"ana@example.com", "di@example.com"}
	server.SetFaults()
	all, err := mails[string(incident.EffectMailInvitation)](t, b)
	if err != nil || invited.Verb != incident.VerbReviewInvited || fmt.Sprint(invited.People, all.People) != "[p1 p4] [p1 p2 p4]" || invited.Key == all.Key {
		t.Errorf("got commands %+v and %+v, error %v", invited, all, err)
	}
	server.SetFaults(mailbox.Rule{Fault: mailbox.FaultPermanent, Stage: mailbox.StageRcpt, To: "Ben@example.com"})
	if paged, _ := mails["page"](t, brief()); paged.Verb != incident.VerbPaged || paged.Round != 1 {
		t.Errorf("got command %+v, want a page that was sent", paged)
	}
}
