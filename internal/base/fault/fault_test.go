package fault_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"liuyun/internal/base/fault"
)

// Each error has one code, one text for people and one exit status, wherever it
// was wrapped.
func TestTranslation(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such device")
	tests := []struct {
		name    string
		err     error
		code    fault.Code
		message string
		status  int
	}{
		{"nil", nil, "", "", 0},
		{"plain", cause, fault.Internal, "no such device", 1},
		{"internal", fault.New(fault.Internal, "a defect"), fault.Internal, "a defect", 1},
		{"invalid", fault.New(fault.Invalid, "%q is no ladder", "x"), fault.Invalid, `"x" is no ladder`, 2},
		{"not found", fault.Wrap(fs.ErrNotExist, fault.NotFound, "no clip"), fault.NotFound, "no clip", 3},
		{"forbidden", fault.New(fault.Forbidden, "read-only"), fault.Forbidden, "read-only", 4},
		{"conflict", fault.New(fault.Conflict, "in use"), fault.Conflict, "in use", 5},
		{"unavailable", fault.New(fault.Unavailable, "no ffmpeg"), fault.Unavailable, "no ffmpeg", 6},
		{"full", fault.New(fault.StorageFull, "full"), fault.StorageFull, "full", 6},
		{"limit", fault.New(fault.Limit, "too long"), fault.Limit, "too long", 6},
		{"canceled", fault.New(fault.Canceled, "stopped"), fault.Canceled, "stopped", 130},
		{"inside", fmt.Errorf("audio 1: %w", fault.Wrap(cause, fault.Limit, "too long")), fault.Limit, "too long", 6},
		{"outermost counts", fault.Wrap(fault.New(fault.Internal, "odd"), fault.Invalid, "damaged"), fault.Invalid, "damaged", 2},
		{"joined", errors.Join(cause, fault.New(fault.Conflict, "in use")), fault.Conflict, "in use", 5},
		{"unknown code", fault.New("tea", "short and stout"), "tea", "short and stout", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := fault.CodeOf(test.err); got != test.code {
				t.Errorf("code: got %q, want %q", got, test.code)
			}
			if got := fault.Message(test.err); got != test.message {
				t.Errorf("message: got %q, want %q", got, test.message)
			}
			if got := fault.ExitStatus(test.err); got != test.status {
				t.Errorf("exit status: got %d, want %d", got, test.status)
			}
		})
	}
}

// Operators see the cause, and code finds it.
func TestCause(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("unit 3: %w", fault.Wrap(fs.ErrPermission, fault.Forbidden, "clip.mp4 may not be read"))
	if got, want := err.Error(), "unit 3: clip.mp4 may not be read: permission denied"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Error("the cause is not found")
	}
	if got, want := fault.Wrap(nil, fault.Invalid, "empty").Error(), "empty"; got != want {
		t.Errorf("without a cause: got %q, want %q", got, want)
	}
}
