package srt

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk has one stream, whose key is "lys_key" and whose id is "str_1".
type desk struct {
	mu       sync.Mutex
	stream   *hub.Stream
	channel  *ingest.Channel
	holder   *input
	last     ingest.Connection
	pictures int
	times    []int64 // PTS of pictures
	sounds   int
	came     int // publishers
	gone     int
}

func newDesk() *desk {
	out := hub.New(hub.Limits{Units: 4096, Bytes: 64 << 20})
	return &desk{stream: out, channel: ingest.NewChannel(out, 0)}
}

type input struct {
	*ingest.Feed
	desk *desk
}

func (d *desk) Publish(_ context.Context, key string, c ingest.Connection) (ingest.Input, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case key != "lys_key":
		return nil, fault.New(fault.Forbidden, "no stream has this key")
	case d.holder != nil:
		return nil, fault.New(fault.Conflict, "another encoder sends to this stream")
	}
	feed := d.channel.Connect(time.Now())
	d.channel.Take(feed)
	d.holder, d.last = &input{feed, d}, c
	d.came++
	return d.holder, nil
}

func (in *input) Picture(p ingest.Picture) error {
	in.desk.mu.Lock()
	defer in.desk.mu.Unlock()
	in.desk.pictures++
	in.desk.times = append(in.desk.times, p.PTS)
	return in.Feed.Picture(p)
}

func (in *input) Sound(s ingest.Sound) error {
	in.desk.mu.Lock()
	defer in.desk.mu.Unlock()
	in.desk.sounds++
	return in.Feed.Sound(s)
}

func (in *input) Close() {
	in.desk.mu.Lock()
	defer in.desk.mu.Unlock()
	in.desk.channel.Drop(in.Feed)
	in.desk.holder = nil
	in.desk.gone++
}

func (d *desk) Watch(_ context.Context, id, token string) (ingest.Program, error) {
	switch {
	case id != "str_1":
		return nil, fault.New(fault.NotFound, "there is no stream %q", id)
	case token != "" && token != "good":
		return nil, fault.New(fault.Forbidden, "the address has expired")
	}
	return program{d}, nil
}

type program struct{ *desk }

func (p program) Source() *hub.Stream { return p.stream }
func (program) Enter() func()         { return func() {} }

func (program) Rungs() []ingest.Rung { return nil }
func (program) Opus(context.Context) (*hub.Stream, func(), error) {
	return nil, nil, fault.New(fault.Unavailable, "no sound")
}

// state is what has come so far.
func (d *desk) state() (pictures, sounds, came, gone int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pictures, d.sounds, d.came, d.gone
}

// start runs a server and returns its port.
func start(t *testing.T, d *desk, passphrase string, latency time.Duration) (address string) {
	t.Helper()
	return startAt(t, d, "127.0.0.1:0", passphrase, latency)
}

func startAt(t *testing.T, d *desk, address, passphrase string, latency time.Duration) string {
	t.Helper()
	l, err := Listen(address, latency)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	s := &Server{Desk: d, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Passphrase: passphrase}
	running.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return l.Addr().String()
}

// until waits for what another process does.
func until(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !fn(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s has not come about", what)
		}
	}
}

// process is another's program.
type process struct {
	*exec.Cmd
	done chan struct{}

	mu   sync.Mutex
	said bytes.Buffer
}

// Write takes what it says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// run runs a program until the test ends.
func run(t *testing.T, name string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	p := &process{Cmd: exec.CommandContext(ctx, name, args...), done: make(chan struct{})}
	p.Stdout, p.Stderr = p, p
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
		if t.Failed() {
			t.Logf("%s: %.2000s", filepath.Base(name), p.output())
		}
	})
	return p
}

// film is seconds of numbered pictures and a tone, as fast as it is taken or in its own
// time.
func film(t *testing.T, seconds string, out ...string) []string {
	return append([]string{testkit.FFmpeg(t), "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000",
		"-t", seconds, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"}, out...)
}

func dialer() Dialer {
	d := &net.Dialer{}
	return d.DialContext
}

// pulled is a connection that we make.
func pulled() ingest.Connection { return ingest.Connection{Protocol: "srt", Kick: func(string) {}} }
