package page

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
)

// methods returns every name that an answer can have.
func (p *Page) methods() []string {
	return slices.Concat(p.cfg.Workspace.Methods(), pager.Methods(), mailbox.Methods(), aws.Methods())
}

// setAnswer sets or clears the answer of one method, or clears all.
func (p *Page) setAnswer(_ *http.Request, in struct {
	answer.Answer
	Clear bool `json:"clear"`
}) (any, error) {
	if in.Clear {
		p.cfg.Answers.Clear()
		return map[string]any{"answers": p.cfg.Answers.List()}, nil
	}
	if err := p.checkAnswer(in.Answer); err != nil {
		return nil, err
	}
	p.cfg.Answers.Put(in.Answer)
	return map[string]any{"answers": p.cfg.Answers.List()}, nil
}

// checkAnswer returns an error if no method has the name, or if the systems cannot
// send the answer.
func (p *Page) checkAnswer(a answer.Answer) error {
	methods := p.methods()
	isMail := strings.HasPrefix(a.Method, "smtp.")
	switch {
	case a.Method == "" || !slices.ContainsFunc(methods, func(name string) bool { return answer.Matches(a.Method, name) }):
		return notFound("unknown method " + strconv.Quote(a.Method) + ". Use one of " + strings.Join(methods, ", "))
	case a.Left != nil && *a.Left < 0:
		return badRequest("left is negative. Use 0 to clear the answer, or leave it out to answer every request")
	case a.Status != 0 && isMail && (a.Status < 400 || a.Status > 599):
		return badRequest("the status of an smtp method is a reply code that rejects. Use 400 to 599")
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		return badRequest("the status must be 200 to 599")
	case isMail && strings.ContainsAny(string(a.Body), "\r\n"):
		return badRequest("the body of an smtp method must be one line")
	}
	return nil
}
