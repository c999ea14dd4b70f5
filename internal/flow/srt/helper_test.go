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

// newDesk has the stream str_1, whose key is lys_key, for who has the token "good" or
// none.
func newDesk() *ingesttest.Desk {
	return ingesttest.NewDesk(hub.New(hub.Limits{Units: 4096, Bytes: 64 << 20}), "lys_key", "str_1", "", "good")
}

// sent is what has come from all encoders together, and how many of them there were and
// have gone.
func sent(d *ingesttest.Desk) (pictures, sounds, came, gone int) {
	for _, in := range d.Inputs() {
		now := in.Now()
		pictures, sounds, came = pictures+len(now.Pictures), sounds+len(now.Sounds), came+1
		if now.Closed {
			gone++
		}
	}
	return pictures, sounds, came, gone
}

// start runs a server and returns its port.
func start(t *testing.T, d *ingesttest.Desk, passphrase string, latency time.Duration) (address string) {
	t.Helper()
	return startAt(t, d, "127.0.0.1:0", passphrase, latency)
}

func startAt(t *testing.T, d *ingesttest.Desk, address, passphrase string, latency time.Duration) string {
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
