package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/proc"
)

// writeJSON writes v as one line on standard output. Each object has a "type".
func (s *session) writeJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	_, err = s.env.Stdout.Write(append(line, '\n'))
	return err
}

// jsonError is the last line of a command that failed under --json.
type jsonError struct {
	Type    string     `json:"type"` // "error"
	Code    fault.Code `json:"code"`
	Message string     `json:"message"`
	Cause   string     `json:"cause,omitempty"`
}

// end reports err, nil included, and returns the exit status. What failed
// because ctx ended was stopped.
func (s *session) end(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	err = cloudError(err)
	if ctx.Err() != nil && fault.CodeOf(err) == fault.Internal {
		err = fault.Wrap(err, fault.Canceled, "stopped")
	}
	s.reportError(err)
	return fault.ExitStatus(err)
}

// saysNothing reports whether the cause is only that a child, which did not like
// its input, ended with a status: the message has told why.
func saysNothing(f *fault.Error) bool {
	var child *proc.Error
	return f.Code == fault.Invalid && errors.As(f.Cause, &child) && child.Reason == proc.Exited
}

// reportError tells why the run failed: to people what is wrong and what to do,
// with the cause for operators below it; to scripts the same as one object.
func (s *session) reportError(err error) {
	report := jsonError{Type: "error", Code: fault.CodeOf(err), Message: fault.Message(err)}
	var f *fault.Error
	if errors.As(err, &f) && f.Cause != nil && f.Code != fault.Canceled && f.Cause.Error() != f.Message && !saysNothing(f) {
		report.Cause = f.Cause.Error()
	}
	if s.wantsJSON() && s.writeJSON(report) == nil {
		return
	}
	fmt.Fprintf(s.env.Stderr, "liuyun: %s\n", report.Message)
	if report.Cause != "" {
		fmt.Fprintf(s.env.Stderr, "  cause: %s\n", report.Cause)
	}
}
