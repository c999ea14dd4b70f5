package ts

import (
	"bytes"
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"liuyun/internal/flow/ingest/ingesttest"
)

// feed takes a stream in, in writes of so many bytes.
func feed(t testing.TB, stream []byte, size int) (*ingesttest.Input, *Feed) {
	t.Helper()
	in := &ingesttest.Input{}
	f := NewFeed(in, quiet())
	for part := range slices.Chunk(stream, size) {
		if err := f.Write(part, now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Flush(); err != nil {
		t.Fatal(err)
	}
	return in, f
}

// output is what a program prints, which must not complain.
func output(t testing.TB, stdin []byte, program string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var problems bytes.Buffer
	command := exec.CommandContext(ctx, program, args...)
	command.Stdin, command.Stderr = bytes.NewReader(stdin), &problems
	out, err := command.Output()
	if err != nil || problems.Len() > 0 {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(program), args, err, problems.Bytes())
	}
	return out
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func now() time.Time { return time.Now() }
