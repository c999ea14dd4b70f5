package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
)

// Every command says in its help what it is for and how it is called.
func TestEachCommandHasHelpWithAnExample(t *testing.T) {
	t.Parallel()
	for _, newCommand := range commands() {
		command := newCommand(&session{})
		if command.Short == "" || command.Example == "" || command.RunE == nil || command.Args == nil {
			t.Errorf("%s: Short, Example, Args and RunE must be set", command.Name())
		}
		for line := range strings.Lines(command.Example) {
			if !strings.HasPrefix(line, "  liuyun "+command.Name()) {
				t.Errorf("%s: example line %q does not call it", command.Name(), line)
			}
		}
	}
}

// Each error reaches people, scripts and the exit status in one way.
func TestErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("no space left")
	tests := []struct {
		name           string
		err            error
		status         int
		text, jsonLine string
	}{
		{
			"fault", fault.New(fault.NotFound, "clip.mp4 does not exist"), 3,
			"liuyun: clip.mp4 does not exist\n",
			`{"type":"error","code":"not_found","message":"clip.mp4 does not exist"}`,
		},
		{
			"with a cause", fault.Wrap(cause, fault.StorageFull, "the disk is full; make room and run it again"), 6,
			"liuyun: the disk is full; make room and run it again\n  cause: no space left\n",
			`{"type":"error","code":"storage_full","message":"the disk is full; make room and run it again","cause":"no space left"}`,
		},
		{
			"with a cause that says the same", fault.Wrap(cause, fault.Invalid, "%v", cause), 2,
			"liuyun: no space left\n",
			`{"type":"error","code":"invalid","message":"no space left"}`,
		},
		{
			"internal", errors.New("read moov: odd"), 1,
			"liuyun: read moov: odd\n",
			`{"type":"error","code":"internal","message":"read moov: odd"}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out, problems bytes.Buffer
			s := &session{env: Env{Stdout: &out, Stderr: &problems}}
			if got := s.end(t.Context(), test.err); got != test.status {
				t.Errorf("got exit status %d, want %d", got, test.status)
			}
			if diff := cmp.Diff(test.text, problems.String()); diff != "" || out.Len() > 0 {
				t.Errorf("text (-want +got):\n%s%s", diff, out.String())
			}
			problems.Reset()
			s.json = true
			s.end(t.Context(), test.err)
			if diff := cmp.Diff(test.jsonLine+"\n", out.String()); diff != "" || problems.Len() > 0 {
				t.Errorf("JSON (-want +got):\n%s%s", diff, problems.String())
			}
		})
	}
}

// What fails because the user stopped the program is told as stopped.
func TestStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var problems bytes.Buffer
	s := &session{env: Env{Stderr: &problems}}
	if got := s.end(ctx, errors.New("encode unit 3: signal: killed")); got != 130 {
		t.Errorf("got exit status %d, want 130", got)
	}
	if got, want := problems.String(), "liuyun: stopped\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.end(ctx, fault.New(fault.Invalid, "no video")); got != 2 {
		t.Errorf("got exit status %d for a fault of its own, want 2", got)
	}
}

// Main takes nothing from the process: no arguments are no arguments.
func TestMainIsInProcess(t *testing.T) {
	t.Parallel()
	var out, problems bytes.Buffer
	env := Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &problems}
	if got := Main(t.Context(), env); got != 0 || !strings.Contains(out.String(), "Usage:") {
		t.Errorf("got exit status %d and %q%q, want the help", got, out.String(), problems.String())
	}
}
