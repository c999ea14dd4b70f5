package rtsp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/exec"
	"slices"
	"strings"
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

const (
	goodKey    = "lys_abcdefghijklmnopqrstuvwxyz"
	goodStream = "str_0123"
	goodToken  = "a.b+c"
)

// desk has one stream, which one encoder at a time sends to.
type desk struct {
	mu      sync.Mutex
	out     *hub.Stream
	channel *ingest.Channel
	input   *input // the last
	count   int
}

func newDesk() *desk {
	out := hub.New(hub.DefaultLimits())
	return &desk{out: out, channel: ingest.NewChannel(out, 0)}
}

func (d *desk) Publish(_ context.Context, key string, c ingest.Connection) (ingest.Input, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if key != goodKey {
		return nil, fault.New(fault.Forbidden, "no stream has this key; copy the key of a stream, or make a new one")
	}
	if d.input != nil && !d.input.closed {
		return nil, fault.New(fault.Conflict, "another encoder sends to this stream; stop that one first")
	}
	d.count++
	d.input = &input{desk: d, from: c, feed: d.channel.Connect(time.Now())}
	d.channel.Take(d.input.feed)
	return d.input, nil
}

func (d *desk) Watch(_ context.Context, id, token string) (ingest.Program, error) {
	if id != goodStream {
		return nil, fault.New(fault.NotFound, "there is no stream %q", id)
	}
	if token != goodToken {
		return nil, fault.New(fault.Forbidden, "the address is no longer good")
	}
	return program{d.out}, nil
}

// last waits until an encoder has come, the nth.
func (d *desk) last(t *testing.T, n int) *input {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		d.mu.Lock()
		in, count := d.input, d.count
		d.mu.Unlock()
		if count >= n {
			return in
		}
	}
	t.Fatal("no encoder has come")
	return nil
}

type program struct{ out *hub.Stream }

func (p program) Source() *hub.Stream { return p.out }
func (program) Enter() func()         { return func() {} }

func (p program) Rungs() []ingest.Rung { return nil }
func (p program) Opus(context.Context) (*hub.Stream, func(), error) {
	return nil, nil, fault.New(fault.Unavailable, "there is none")
}

// input notes what comes, and feeds it to the stream.
type input struct {
	desk *desk
	from ingest.Connection

	mu       sync.Mutex
	feed     *ingest.Feed
	pictures []ingest.Picture // without their units
	sound    []ingest.Sound
	first    []byte // the first frame of sound
	closed   bool
	refuse   error // what Picture answers, if not nil
}

func (i *input) Expect(pictures, sound bool) { i.feed.Expect(pictures, sound) }

func (i *input) Video(c hub.Codec, config []byte) error { return i.feed.Video(c, config) }

func (i *input) Audio(c hub.Codec, config []byte) error { return i.feed.Audio(c, config) }

func (i *input) Splice([]byte, int64, time.Time) error { return nil }

func (i *input) Picture(p ingest.Picture) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.refuse != nil {
		return i.refuse
	}
	i.pictures = append(i.pictures, ingest.Picture{DTS: p.DTS, PTS: p.PTS, At: p.At})
	return i.feed.Picture(p)
}

func (i *input) Sound(s ingest.Sound) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.first == nil {
		i.first = bytes.Clone(s.Data)
	}
	i.sound = append(i.sound, ingest.Sound{PTS: s.PTS, At: s.At})
	return i.feed.Sound(s)
}

func (i *input) Close() {
	i.desk.mu.Lock()
	defer i.desk.mu.Unlock()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		panic("an input is closed twice")
	}
	i.closed = true
	i.desk.channel.Drop(i.feed)
}

// await waits until so much has come.
func (i *input) await(t *testing.T, pictures, sound int) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		i.mu.Lock()
		done := len(i.pictures) >= pictures && len(i.sound) >= sound
		i.mu.Unlock()
		if done {
			return
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	t.Fatalf("%d pictures and %d frames of sound have come, want %d and %d", len(i.pictures), len(i.sound), pictures, sound)
}

// left waits until the encoder has gone.
func (i *input) left(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		i.mu.Lock()
		closed := i.closed
		i.mu.Unlock()
		if closed {
			return
		}
	}
	t.Fatal("the encoder is still there")
}

// logBuffer is a log that several goroutines write.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// serve runs a server until the test ends, and returns its address, host:port.
func serve(t *testing.T, d ingest.Desk) (address string, log *logBuffer) {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log = &logBuffer{}
	s := &Server{Desk: d, Log: slog.New(slog.NewTextHandler(log, nil))}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, socket) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return socket.Addr().String(), log
}

// child is a program that a test runs; it ends with the test.
type child struct {
	cmd  *exec.Cmd
	log  logBuffer
	done chan error
}

func start(t *testing.T, program string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(program, args...), done: make(chan error, 1)}
	c.cmd.Stderr, c.cmd.Stdout = &c.log, &c.log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		c.done <- c.cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // gone already
		<-ended
		if t.Failed() {
			t.Log(strings.Join(c.cmd.Args, " "), "\n", c.log.String())
		}
	})
	return c
}

// wait waits for the child's end.
func (c *child) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-c.done:
		return err
	case <-time.After(2 * time.Minute):
		t.Fatal("the program does not end")
		return nil
	}
}

// encode starts ffmpeg with pictures of 25 a second and, as codec says, sound, in real
// time. Seconds 0 is for ever.
func encode(t *testing.T, seconds int, args ...string) *child {
	t.Helper()
	length := ""
	if seconds > 0 {
		length = fmt.Sprintf(":duration=%d", seconds)
	}
	common := []string{
		"-hide_banner", "-loglevel", "warning", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25" + length,
		"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000" + length, "-threads", "1",
	}
	return start(t, testkit.FFmpeg(t), slices.Concat(common, args)...)
}

// plain are options of ffmpeg for pictures that come in the order in which they are
// shown, with sound.
func plain() []string {
	return []string{"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2"}
}
