package page

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
)

// Switch is one way to let an outside system fail.
type Switch struct {
	Name   string `json:"name"`
	System string `json:"system"`
	Title  string `json:"title"`
	Text   string `json:"text"`
	On     bool   `json:"on"`

	chat  chat.Fault
	pager pager.Fault
	mail  mailbox.Fault
}

const (
	systemChat  = "Slack"
	systemPager = "PagerDuty"
	systemMail  = "Mail"
)

var faultSwitches = []Switch{
	{Name: "slack-429", System: systemChat, Title: "Too many requests", Text: "every method answers 429, Retry-After 5 s", chat: chat.Fault{Method: "*", Kind: chat.FaultRateLimit, RetryAfter: 5}},
	{Name: "slack-500", System: systemChat, Title: "Server error", Text: "every method answers 500, nothing lands", chat: chat.Fault{Method: "*", Kind: chat.FaultServerError}},
	{Name: "slack-lost", System: systemChat, Title: "Lost answers", Text: "calls take effect, then the connection is cut", chat: chat.Fault{Method: "*", Kind: chat.FaultDropAfter}},
	{Name: "slack-slow", System: systemChat, Title: "Late answers", Text: "calls take effect, the answer comes after 4 s", chat: chat.Fault{Method: "*", Kind: chat.FaultDelay, Delay: 4 * time.Second}},
	{Name: "slack-offline", System: systemChat, Title: "Offline", Text: "nothing is reachable, and people cannot write", chat: chat.Fault{Kind: chat.FaultOffline}},
	{Name: "pager-500", System: systemPager, Title: "Server error", Text: "answers 500, nobody is paged", pager: pager.FaultError},
	{Name: "pager-400", System: systemPager, Title: "Refuses", Text: "answers 400, nobody is paged", pager: pager.FaultRefuse},
	{Name: "pager-silent", System: systemPager, Title: "Silent", Text: "never answers, nobody is paged", pager: pager.FaultSilence},
	{Name: "pager-swallow", System: systemPager, Title: "Swallows", Text: "answers 202, and still nobody is paged", pager: pager.FaultSwallow},
	{Name: "pager-offline", System: systemPager, Title: "Offline", Text: "drops every connection", pager: pager.FaultOffline},
	{Name: "mail-451", System: systemMail, Title: "Try again later", Text: "answers 451, the mail is not kept", mail: mailbox.FaultTemporary},
	{Name: "mail-550", System: systemMail, Title: "Refuses", Text: "answers 550, the mail is not kept", mail: mailbox.FaultPermanent},
	{Name: "mail-lost", System: systemMail, Title: "Lost answers", Text: "keeps the mail, then hangs up without an answer", mail: mailbox.FaultDrop},
	{Name: "mail-offline", System: systemMail, Title: "Offline", Text: "hangs up on every sender", mail: mailbox.FaultOffline},
}

// switches returns the switchboard as it stands, whoever set it.
func (p *Page) switches() []Switch {
	slack, paging, mail := p.cfg.Workspace.Faults(), p.cfg.Pager.Snapshot().Faults, p.cfg.Mailbox.Snapshot().Faults
	out := slices.Clone(faultSwitches)
	for i := range out {
		switch s := &out[i]; s.System {
		case systemChat:
			s.On = slices.ContainsFunc(slack, s.isChat) || s.chat.Kind == chat.FaultOffline && p.cfg.Workspace.Offline()
		case systemPager:
			s.On = slices.ContainsFunc(paging, s.isPager)
		case systemMail:
			s.On = slices.ContainsFunc(mail, s.isMail)
		}
	}
	return out
}

func (s *Switch) isChat(f chat.Fault) bool { return f.Method == s.chat.Method && f.Kind == s.chat.Kind }

func (s *Switch) isPager(r pager.Rule) bool { return r == pager.Rule{Fault: s.pager} }

func (s *Switch) isMail(r mailbox.Rule) bool { return r == mailbox.Rule{Fault: s.mail} }

func (p *Page) setFaults(_ *http.Request, in struct {
	Name  string `json:"name"`
	On    bool   `json:"on"`
	Clear bool   `json:"clear"`
}) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(faultSwitches, func(s Switch) bool { return s.Name == in.Name })
	switch {
	case in.Clear:
		p.cfg.Workspace.ClearFaults()
		p.cfg.Pager.SetFaults()
		p.cfg.Mailbox.SetFaults()
	case i < 0:
		return nil, notFound("there is no switch " + strconv.Quote(in.Name))
	default:
		p.flip(&faultSwitches[i], in.On)
	}
	p.touch()
	return map[string]any{"faults": p.switches()}, nil
}

// flip sets one switch and leaves every other fault as it is.
func (p *Page) flip(s *Switch, on bool) {
	switch s.System {
	case systemChat:
		ws := p.cfg.Workspace
		if s.chat.Kind == chat.FaultOffline {
			ws.SetOffline(on)
			return
		}
		rules, offline := slices.DeleteFunc(ws.Faults(), s.isChat), ws.Offline()
		if on {
			rules = append(rules, s.chat)
		}
		ws.ClearFaults()
		for _, f := range rules {
			ws.SetFault(f)
		}
		ws.SetOffline(offline)
	case systemPager:
		rules := slices.DeleteFunc(p.cfg.Pager.Snapshot().Faults, s.isPager)
		if on {
			rules = append(rules, pager.Rule{Fault: s.pager})
		}
		p.cfg.Pager.SetFaults(rules...)
	case systemMail:
		rules := slices.DeleteFunc(p.cfg.Mailbox.Snapshot().Faults, s.isMail)
		if on {
			rules = append(rules, mailbox.Rule{Fault: s.mail})
		}
		p.cfg.Mailbox.SetFaults(rules...)
	}
}
