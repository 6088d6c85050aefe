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

// Switch enables a kind of failure of an external system.
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
	{Name: "slack-429", System: systemChat, Title: "Too many requests", Text: "every method returns 429 with Retry-After 5 s", chat: chat.Fault{Method: "*", Kind: chat.FaultRateLimit, RetryAfter: 5}},
	{Name: "slack-500", System: systemChat, Title: "Server error", Text: "every method returns 500 without effect", chat: chat.Fault{Method: "*", Kind: chat.FaultServerError}},
	{Name: "slack-lost", System: systemChat, Title: "Lost responses", Text: "calls take effect, then the connection is closed", chat: chat.Fault{Method: "*", Kind: chat.FaultDropAfter}},
	{Name: "slack-slow", System: systemChat, Title: "Late responses", Text: "calls take effect, the response is sent after 4 s", chat: chat.Fault{Method: "*", Kind: chat.FaultDelay, Delay: 4 * time.Second}},
	{Name: "slack-offline", System: systemChat, Title: "Offline", Text: "requests fail and people cannot write", chat: chat.Fault{Kind: chat.FaultOffline}},
	{Name: "pager-500", System: systemPager, Title: "Server error", Text: "returns 500 and pages no one", pager: pager.FaultError},
	{Name: "pager-400", System: systemPager, Title: "Rejects", Text: "returns 400 and pages no one", pager: pager.FaultRefuse},
	{Name: "pager-silent", System: systemPager, Title: "Silent", Text: "does not respond and pages no one", pager: pager.FaultSilence},
	{Name: "pager-swallow", System: systemPager, Title: "Drops events", Text: "returns 202 but pages no one", pager: pager.FaultSwallow},
	{Name: "pager-offline", System: systemPager, Title: "Offline", Text: "closes every connection", pager: pager.FaultOffline},
	{Name: "mail-451", System: systemMail, Title: "Try again later", Text: "returns 451 and does not store the mail", mail: mailbox.FaultTemporary},
	{Name: "mail-550", System: systemMail, Title: "Rejects", Text: "returns 550 and does not store the mail", mail: mailbox.FaultPermanent},
	{Name: "mail-lost", System: systemMail, Title: "Lost responses", Text: "stores the mail, then closes the connection without a response", mail: mailbox.FaultDrop},
	{Name: "mail-offline", System: systemMail, Title: "Offline", Text: "closes every connection", mail: mailbox.FaultOffline},
}

// switches returns all switches. On reflects the current faults of the systems,
// including faults that were not set on this page.
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
		p.cfg.Answers.Clear()
	case i < 0:
		return nil, notFound("unknown switch " + strconv.Quote(in.Name))
	default:
		p.setSwitch(&faultSwitches[i], in.On)
	}
	p.touch()
	return map[string]any{"faults": p.switches()}, nil
}

// setSwitch sets one switch and does not change other faults.
func (p *Page) setSwitch(s *Switch, on bool) {
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
