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

	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ingest/ingesttest"
	"liuyun/internal/testkit"
)

// What tests wait for comes at the pace of a camera.
func TestMain(m *testing.M) {
	testkit.AtOnce(4)
	goleak.VerifyTestMain(m)
}

const (
	goodKey    = "lys_abcdefghijklmnopqrstuvwxyz"
	goodStream = "str_0123"
	goodToken  = "a.b+c"
)

func newDesk() *ingesttest.Desk {
	return ingesttest.NewDesk(hub.New(hub.DefaultLimits()), goodKey, goodStream, goodToken)
}

// await waits until so much has come.
func await(t *testing.T, in *ingesttest.Input, pictures, sound int) {
	t.Helper()
	what := fmt.Sprintf("%d pictures and %d frames of sound", pictures, sound)
	in.Await(t, what, func(n ingesttest.Noted) bool { return len(n.Pictures) >= pictures && len(n.Sounds) >= sound })
}

// left waits until the encoder has gone.
func left(t *testing.T, in *ingesttest.Input) {
	t.Helper()
	in.Await(t, "the encoder's end", func(n ingesttest.Noted) bool { return n.Closed })
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
