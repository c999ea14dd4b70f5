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

	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// input notes what it is given.
type input struct {
	expect   [2]bool
	codecs   []hub.Codec
	configs  [][]byte
	pictures []ingest.Picture
	sounds   []ingest.Sound
	splices  []int64
	refuse   error // of Picture
}

func (in *input) Expect(pictures, sound bool) { in.expect = [2]bool{pictures, sound} }

func (in *input) Video(codec hub.Codec, config []byte) error {
	in.codecs, in.configs = append(in.codecs, codec), append(in.configs, config)
	return nil
}

func (in *input) Audio(codec hub.Codec, config []byte) error {
	in.codecs, in.configs = append(in.codecs, codec), append(in.configs, bytes.Clone(config))
	return nil
}

func (in *input) Picture(p ingest.Picture) error {
	units := make([][]byte, len(p.Units))
	for i, u := range p.Units {
		units[i] = bytes.Clone(u)
	}
	p.Units = units
	in.pictures = append(in.pictures, p)
	return in.refuse
}

func (in *input) Sound(s ingest.Sound) error {
	s.Data = bytes.Clone(s.Data)
	in.sounds = append(in.sounds, s)
	return nil
}

func (in *input) Splice(_ []byte, pts int64, _ time.Time) error {
	in.splices = append(in.splices, pts)
	return nil
}

func (in *input) Close() {}

// feed takes a stream in, in writes of so many bytes.
func feed(t testing.TB, stream []byte, size int) (*input, *Feed) {
	t.Helper()
	in := &input{}
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

type (
	ingestPicture = ingest.Picture
	ingestSound   = ingest.Sound
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func now() time.Time { return time.Now() }
