// Package ingesttest is what protocols meet in their tests: an input that notes what it
// is given, and a desk of one stream.
package ingesttest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// Noted is what an input was given.
type Noted struct {
	Expected [][2]bool // pictures and sound
	Codecs   []hub.Codec
	Configs  [][]byte // that came with them
	Pictures []ingest.Picture
	Sounds   []ingest.Sound
	Splices  []int64 // their moments
	Closed   bool
}

// Input notes what it is given, and one of a [Desk] puts it into the stream. The zero
// value is ready. Its fields are for when nobody calls it; see Now.
type Input struct {
	Noted
	From ingest.Connection // of one of a desk

	mu     sync.Mutex
	feed   *ingest.Feed // nil is none
	left   func()
	refuse error
}

// Now is what it was given so far.
func (in *Input) Now() Noted {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.Noted
}

// Refuse has it answer pictures with an error.
func (in *Input) Refuse(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.refuse = err
}

// Await waits until what it was given is enough, two minutes at most.
func (in *Input) Await(t testing.TB, what string, enough func(Noted) bool) {
	t.Helper()
	await(t, what, func() bool { return enough(in.Now()) })
}

func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it has not come about", what)
		}
	}
}

// Expect notes it.
func (in *Input) Expect(pictures, sound bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.Expected = append(in.Expected, [2]bool{pictures, sound})
	if in.feed != nil {
		in.feed.Expect(pictures, sound)
	}
}

// Video notes it.
func (in *Input) Video(codec hub.Codec, config []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.Codecs, in.Configs = append(in.Codecs, codec), append(in.Configs, bytes.Clone(config))
	if in.feed == nil {
		return nil
	}
	return in.feed.Video(codec, config)
}

// Audio notes it.
func (in *Input) Audio(codec hub.Codec, config []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.Codecs, in.Configs = append(in.Codecs, codec), append(in.Configs, bytes.Clone(config))
	if in.feed == nil {
		return nil
	}
	return in.feed.Audio(codec, config)
}

// Picture notes it, and answers what Refuse was given.
func (in *Input) Picture(p ingest.Picture) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.Pictures = append(in.Pictures, p.Clone())
	if in.refuse != nil || in.feed == nil {
		return in.refuse
	}
	return in.feed.Picture(p)
}

// Sound notes it.
func (in *Input) Sound(s ingest.Sound) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	noted := s
	noted.Data = bytes.Clone(s.Data)
	in.Sounds = append(in.Sounds, noted)
	if in.feed == nil {
		return nil
	}
	return in.feed.Sound(s)
}

// Splice notes its moment.
func (in *Input) Splice(section []byte, pts int64, at time.Time) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.Splices = append(in.Splices, pts)
	if in.feed == nil {
		return nil
	}
	return in.feed.Splice(section, pts, at)
}

// Close lets the next encoder in. A second time is a panic.
func (in *Input) Close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.Closed {
		panic("an input is closed twice")
	}
	in.Closed = true
	if in.left != nil {
		in.left()
	}
}

// Desk has one stream, which one encoder at a time sends to. It is the stream's program,
// too, whose sound is Opus and of which no renditions are made.
type Desk struct {
	Out *hub.Stream

	key, id string
	tokens  []string
	channel *ingest.Channel

	mu     sync.Mutex
	inputs []*Input
	on     *Input // nil: nobody sends
}

// NewDesk returns a desk of a stream that goes to out, is sent to with a key, and is
// watched by its id and one of the tokens.
func NewDesk(out *hub.Stream, key, id string, tokens ...string) *Desk {
	return &Desk{Out: out, key: key, id: id, tokens: tokens, channel: ingest.NewChannel(out, 0)}
}

// Publish lets an encoder in, see [ingest.Desk].
func (d *Desk) Publish(_ context.Context, key string, c ingest.Connection) (ingest.Input, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case key != d.key:
		return nil, fault.New(fault.Forbidden, "no stream has this key; copy the key of a stream, or make a new one")
	case d.on != nil:
		return nil, fault.New(fault.Conflict, "another encoder sends to this stream; stop that one first")
	}
	in := &Input{From: c, feed: d.channel.Connect(time.Now())}
	in.left = func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.channel.Drop(in.feed)
		d.on = nil
	}
	d.channel.Take(in.feed)
	d.on, d.inputs = in, append(d.inputs, in)
	return in, nil
}

// Watch lets a reader in, see [ingest.Desk].
func (d *Desk) Watch(_ context.Context, id, token string) (ingest.Program, error) {
	switch {
	case id != d.id:
		return nil, fault.New(fault.NotFound, "there is no stream %q", id)
	case !slices.Contains(d.tokens, token):
		return nil, fault.New(fault.Forbidden, "the address is no longer good")
	}
	return d, nil
}

// Inputs are those of the encoders that were let in.
func (d *Desk) Inputs() []*Input {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.inputs)
}

// On is the input of the encoder that sends now, nil where none does.
func (d *Desk) On() *Input {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on
}

// Await waits for the nth encoder, two minutes at most.
func (d *Desk) Await(t testing.TB, n int) (in *Input) {
	t.Helper()
	await(t, "an encoder", func() bool {
		inputs := d.Inputs()
		if len(inputs) >= n {
			in = inputs[n-1]
		}
		return in != nil
	})
	return in
}

// Source is the stream.
func (d *Desk) Source() *hub.Stream { return d.Out }

// Enter counts nobody.
func (d *Desk) Enter() (leave func()) { return func() {} }

// Rungs are none.
func (d *Desk) Rungs() []ingest.Rung { return nil }

// Laddered is false.
func (d *Desk) Laddered() bool { return false }

// Opus is the stream.
func (d *Desk) Opus(context.Context) (*hub.Stream, func(), error) { return d.Out, func() {}, nil }
