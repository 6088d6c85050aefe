package incident

import (
	"errors"
	"fmt"
	"time"
)

// Code classifies an Error for machines; the message is for people.
type Code string

// The codes a caller may switch on.
const (
	CodeInvalid   Code = "invalid"   // an argument is missing or malformed; Field names it
	CodeForbidden Code = "forbidden" // this person may not do this
	CodeUnknown   Code = "unknown"   // the thing or the person does not exist
	CodeConflict  Code = "conflict"  // the lifecycle refuses it now, or somebody was faster
	CodeStale     Code = "stale"     // the digest the person saw is not the current one
)

// Error is the one error of the domain: a code, a sentence a person can act
// on, and the name of the argument it is about, if it is about one.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is match on the code alone when the target carries no message.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Code == e.Code
}

// Invalid says that an argument cannot be used and what would be right.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Forbidden says that this person may not do this, and who may.
func Forbidden(format string, args ...any) *Error {
	return &Error{Code: CodeForbidden, Message: fmt.Sprintf(format, args...)}
}

// Unknown says that something named does not exist.
func Unknown(field, format string, args ...any) *Error {
	return &Error{Code: CodeUnknown, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Conflict says that the state refuses the command now.
func Conflict(format string, args ...any) *Error {
	return &Error{Code: CodeConflict, Message: fmt.Sprintf(format, args...)}
}

// Stale says that the record changed since the person looked at it.
func Stale(format string, args ...any) *Error {
	return &Error{Code: CodeStale, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of a domain error inside err, or "" for any other error.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// RetryAfter is how an adapter says that the outside system asked to be left
// alone for a while. The worker waits that long; it is not a failed attempt.
type RetryAfter struct {
	After time.Duration
	Err   error
}

func (e *RetryAfter) Error() string { return fmt.Sprintf("retry after %s: %v", e.After, e.Err) }
func (e *RetryAfter) Unwrap() error { return e.Err }

// Permanent is how an adapter says that repeating the call cannot help.
type Permanent struct{ Err error }

func (e *Permanent) Error() string { return e.Err.Error() }
func (e *Permanent) Unwrap() error { return e.Err }
