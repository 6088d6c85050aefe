package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Code classifies an [Error] for programs.
type Code string

// The codes.
const (
	CodeInvalid   Code = "invalid"   // an argument is missing or malformed; Field names it
	CodeForbidden Code = "forbidden" // the person lacks the authority
	CodeUnknown   Code = "unknown"   // the named object or person does not exist
	CodeConflict  Code = "conflict"  // the status does not allow the command, or another command came first
	CodeStale     Code = "stale"     // the digest that the person read is not the current one
)

// Error is the error type of the domain. Its sentence names the problem and
// the fix, for a person. Field is the argument at fault, or "".
//
// In JSON the sentence is the string "message", in English.
type Error struct {
	Code  Code
	Field string
	Sentence
}

// Error returns the sentence in English.
func (e *Error) Error() string { return e.String() }

// Is makes [errors.Is] compare the code alone when the target has no sentence.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Format == "" && t.Code == e.Code
}

// errorJSON is an [Error] on the wire.
type errorJSON struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

// MarshalJSON writes the code, the sentence as a string and the field.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(errorJSON{Code: e.Code, Message: e.String(), Field: e.Field})
}

// UnmarshalJSON reads the output of MarshalJSON. The format is lost: the
// sentence becomes one argument.
func (e *Error) UnmarshalJSON(data []byte) error {
	var v errorJSON
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*e = Error{Code: v.Code, Field: v.Field, Sentence: Say("%s", v.Message)}
	return nil
}

// Invalid returns an error for an argument that cannot be used. The message names the
// problem and a value that works.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Sentence: Say(format, args...)}
}

// Forbidden returns an error for a person without the authority. The message names who has it.
func Forbidden(format string, args ...any) *Error {
	return &Error{Code: CodeForbidden, Sentence: Say(format, args...)}
}

// Unknown returns an error for a name that does not exist.
func Unknown(field, format string, args ...any) *Error {
	return &Error{Code: CodeUnknown, Field: field, Sentence: Say(format, args...)}
}

// Conflict returns an error for a command that the present status does not allow.
func Conflict(format string, args ...any) *Error {
	return &Error{Code: CodeConflict, Sentence: Say(format, args...)}
}

// Stale returns an error for a digest that is not the current one.
func Stale(format string, args ...any) *Error {
	return &Error{Code: CodeStale, Sentence: Say(format, args...)}
}

// CodeOf returns the code of the domain error in err's chain, or "" without one.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// IsUnavailable reports whether a command failed because the database did not answer. Such
// an error of a store has the method Unavailable() bool.
func IsUnavailable(err error) bool {
	var down interface{ Unavailable() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &down) && down.Unavailable()
}

// RetryAfter is an adapter's error for an outside system that requested a
// pause. The runner waits that long. The wait uses up none of the job's
// retries, but [Brief.Attempt] still rises.
type RetryAfter struct {
	After time.Duration
	Err   error
	// Queued is set if the adapter delays the call itself, to stay below a limit. The
	// effect then waits its turn at any age.
	Queued bool
}

func (e *RetryAfter) Error() string { return fmt.Sprintf("retry after %s: %v", e.After, e.Err) }
func (e *RetryAfter) Unwrap() error { return e.Err }

// Systems that effects call, in [Blocked.System]. A chat platform has the name of its provider.
const (
	SystemSlack     = string(ProviderSlack)
	SystemPagerDuty = string(ProviderPagerDuty)
	SystemMail      = "mail"
	// SystemTocsin is the system of an effect that Tocsin itself cannot perform.
	SystemTocsin = "tocsin"
)

// Blocked is an adapter's error for a call that the outside system refuses until an
// administrator repairs the cause. The effect waits for the repair and is never
// discarded.
//
// Cause and Fix are sentences without text from outside, except names of settings
// such as a scope: they appear in logs, on the card and in notices. Err has the details.
type Blocked struct {
	System string   // [SystemSlack], [SystemPagerDuty] or [SystemMail]
	Cause  Sentence // "the Slack app lacks the scope channels:manage"
	Fix    Sentence // "Add the scope channels:manage to the Slack app and reinstall it"
	Err    error
}

func (e *Blocked) Error() string { return fmt.Sprintf("%s: %v; %s", e.Cause, e.Err, e.Fix) }
func (e *Blocked) Unwrap() error { return e.Err }

// Partial is an adapter's error for a call that reached some of its recipients. Err is
// about the others. The next attempt gets Reached in [Brief.Reached] and leaves them out.
type Partial struct {
	Reached []string // all recipients so far, as the adapter names them
	Err     error
}

func (e *Partial) Error() string { return e.Err.Error() }
func (e *Partial) Unwrap() error { return e.Err }

// ChannelGone is an adapter's error for a call in a channel of the chat that no longer
// exists, that is archived, or that Tocsin was removed from. Err is the error for a
// channel that cannot be replaced.
type ChannelGone struct {
	Channel  string // id
	Archived bool
	Err      error
}

func (e *ChannelGone) Error() string { return e.Err.Error() }
func (e *ChannelGone) Unwrap() error { return e.Err }

// Permanent is an adapter's error for a call that cannot succeed when repeated, even
// after a repair: the call itself is wrong.
type Permanent struct{ Err error }

func (e *Permanent) Error() string { return e.Err.Error() }
func (e *Permanent) Unwrap() error { return e.Err }

// fieldOf returns the field of the domain error in err's chain, or "" without one.
func fieldOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Field
	}
	return ""
}
