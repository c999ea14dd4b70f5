// Package fault gives errors a stable code for programs, a message for people
// and a cause for operators. Inside a package plain fmt.Errorf("…: %w") is
// enough; a fault is made where somebody outside will read it. It is translated
// once: to an exit status by the command line, to problem+json by the API.
package fault

import (
	"errors"
	"fmt"
)

// Code says what kind of thing went wrong. Codes are stable: scripts and
// clients may depend on them.
type Code string

// The codes.
const (
	Internal    Code = "internal"     // a defect of ours, or of an engine
	Invalid     Code = "invalid"      // the input is bad: media, option, request
	NotFound    Code = "not_found"    // the named thing does not exist
	Forbidden   Code = "forbidden"    // the caller may not do this
	Conflict    Code = "conflict"     // the state does not allow it now
	Unavailable Code = "unavailable"  // something it needs is missing or down
	StorageFull Code = "storage_full" // no room on the disk
	Limit       Code = "limit"        // a stated limit was exceeded
	Canceled    Code = "canceled"     // stopped on request
)

// Error is a fault. Message is for people: what is wrong and what to do, no
// stack of causes. Cause is for operators and may be nil.
type Error struct {
	Code    Code
	Message string
	Cause   error
}

// New returns a fault without a cause.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns a fault that explains cause to people. A nil cause is allowed.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// Error returns the message alone when there is no cause, else both.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// CodeOf returns the code of the outermost fault in err's chain: "" for nil,
// Internal when there is none.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// Message returns the text for people: the outermost fault's message, or the
// whole error when no fault is in the chain.
func Message(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// ExitStatus is the documented exit status of the command line for err:
// 0 ok, 1 failure, 2 bad input, 3 not found, 4 not allowed, 5 conflict,
// 6 unavailable (a full disk and a stated limit included), 130 stopped by the user.
func ExitStatus(err error) int {
	switch CodeOf(err) {
	case "":
		return 0
	case Invalid:
		return 2
	case NotFound:
		return 3
	case Forbidden:
		return 4
	case Conflict:
		return 5
	case Unavailable, StorageFull, Limit:
		return 6
	case Canceled:
		return 130
	default:
		return 1
	}
}
