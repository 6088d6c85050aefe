// Package answer makes single methods of the sandbox refuse as the real systems
// can. An [Answer] replaces the response of one method of Slack, PagerDuty, AWS or
// the mail server:
//
//	set := answer.NewSet()
//	set.Put(answer.Answer{Method: "conversations.create", Body: answer.Text(`{"ok":false,"error":"restricted_action"}`), Left: answer.Times(1)})
//
// A system calls [Set.Take] for each request. If there is an answer, the system
// sends it unchanged and does not act.
package answer

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Answer is the response of a method that does not act.
type Answer struct {
	// Method is a method of Slack's Web API, "pagerduty.events", "pagerduty.rest",
	// "smtp." with a command in lower case, or an AWS call such as
	// "sqs:ReceiveMessage". A "*" at the end stands for the rest of the name.
	Method string `json:"method"`
	// Status is the HTTP status, 200 by default, or the reply code of SMTP, 550 by
	// default.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"` // HTTP headers in addition to Content-Type
	Body   Text              `json:"body,omitempty"`
	// Left is how many requests still receive the answer. Nil stands for all until
	// it is cleared. Zero clears it.
	Left *int `json:"left,omitempty"`
}

// Times returns n for [Answer.Left].
func Times(n int) *int { return &n }

// Text is the body of an answer. In JSON it is a string or any other value. Other
// values are sent unchanged.
type Text string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Text) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	*t = Text(text)
	return nil
}

// Set holds at most one answer for each name of a method. It is safe for concurrent
// use. A nil Set is empty.
type Set struct {
	mu      sync.Mutex
	answers []Answer
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{} }

// Put adds an answer. It replaces the answer with the same name. An answer with zero
// requests left only removes that one.
func (s *Set) Put(a Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = slices.DeleteFunc(s.answers, func(o Answer) bool { return o.Method == a.Method })
	if a.Left == nil {
		s.answers = append(s.answers, a)
	} else if *a.Left > 0 {
		a.Left = Times(*a.Left) // a copy, because Take changes it
		s.answers = append(s.answers, a)
	}
}

// Clear removes all answers.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = nil
}

// List returns all answers, oldest first.
func (s *Set) List() []Answer {
	out := []Answer{}
	if s == nil {
		return out
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.answers {
		if a.Left != nil {
			a.Left = Times(*a.Left)
		}
		out = append(out, a)
	}
	return out
}

// Take returns the first answer that matches a method and uses up one of its
// requests. It reports false if none matches.
func (s *Set) Take(method string) (Answer, bool) {
	if s == nil {
		return Answer{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, a := range s.answers {
		if !Matches(a.Method, method) {
			continue
		}
		if a.Left != nil {
			if *a.Left--; *a.Left == 0 {
				s.answers = slices.Delete(s.answers, n, n+1)
			}
		}
		return a, true
	}
	return Answer{}, false
}

// Matches reports whether the name of an answer stands for a method.
func Matches(name, method string) bool {
	if prefix, ok := strings.CutSuffix(name, "*"); ok {
		return strings.HasPrefix(method, prefix)
	}
	return name == method
}

// HTTPStatus returns the status of an HTTP response.
func (a Answer) HTTPStatus() int {
	if a.Status == 0 {
		return http.StatusOK
	}
	return a.Status
}

// Write sends the answer as an HTTP response.
func (a Answer) Write(w http.ResponseWriter) {
	kind := "text/plain; charset=utf-8"
	switch body := strings.TrimSpace(string(a.Body)); {
	case json.Valid([]byte(body)):
		kind = "application/json; charset=utf-8"
	case strings.HasPrefix(body, "<"):
		kind = "text/html; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.HTTPStatus())
	_, _ = w.Write([]byte(a.Body)) // fails only if the client disconnected
}
