package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/proc"
	"liuyun/internal/testkit"
)

func TestRun(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	dir := t.TempDir()
	var luma bytes.Buffer
	var reports []Progress
	usage, err := tools.Run(t.Context(), Command{
		Input: open(t, testkit.Generate(t, testkit.Pattern(320, 180, "25", 2))),
		Args: []string{"-i", InputURL, "-map", "0:v", "-vf", "scale=32:18,format=gray", "-f", "rawvideo", PipeURL(0),
			"-map", "0:v", "-c:v", "libx264", "-preset", "ultrafast", "out.mp4"},
		Dir:        dir,
		Pipes:      []io.Writer{&luma},
		OnProgress: func(p Progress) { reports = append(reports, p) },
		Limits:     proc.Limits{CPU: time.Minute, Memory: 2 << 30, FileSize: 1 << 30, Files: 256, Wall: time.Minute},
		Nice:       1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := luma.Len(), 50*32*18; got != want {
		t.Errorf("luma: got %d bytes, want %d", got, want)
	}
	if info, err := os.Stat(filepath.Join(dir, "out.mp4")); err != nil || info.Size() == 0 {
		t.Errorf("file: got %v, want one", err)
	}
	if last := usage.Last; last.Frame != 50 || !last.Done || last.OutTime <= time.Second || len(reports) == 0 || reports[len(reports)-1] != last {
		t.Errorf("progress: got %+v in %d reports, want 50 frames and done", last, len(reports))
	}
	if usage.CPU <= 0 || usage.Wall <= 0 || usage.MaxRSS <= 0 || usage.Errors != 0 {
		t.Errorf("usage: got %+v", usage)
	}
}

// crowd is a Pipe that holds the first child until a second one writes too, and
// looks whether each has its turn.
type crowd struct {
	tools *Tools

	mu           sync.Mutex
	inside, most int
	two          chan struct{}
}

func (c *crowd) Write(data []byte) (int, error) {
	c.mu.Lock()
	c.inside++
	if turns := len(c.tools.children); c.inside > turns {
		c.mu.Unlock()
		return 0, fmt.Errorf("%d children with %d turns", c.inside, turns)
	}
	if c.most = max(c.most, c.inside); c.inside == 2 {
		select {
		case <-c.two:
		default:
			close(c.two)
		}
	}
	c.mu.Unlock()
	<-c.two
	c.mu.Lock()
	c.inside--
	c.mu.Unlock()
	return len(data), nil
}

// Children wait for their turn where there may be only so many.
func TestAtMost(t *testing.T) {
	t.Parallel()
	tools := findTools(t).AtMost(2)
	input := open(t, testkit.Generate(t, testkit.Pattern(320, 180, "25", 2)))
	crowd := crowd{tools: tools, two: make(chan struct{})}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			_, err := tools.Run(t.Context(), Command{
				Input: input, Args: []string{"-i", InputURL, "-map", "0:v", "-frames:v", "1", "-f", "rawvideo", PipeURL(0)}, Pipes: []io.Writer{&crowd},
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if crowd.most != 2 {
		t.Errorf("%d children at a time, want 2", crowd.most)
	}
	// Who waits in vain stops waiting.
	full := findTools(t).AtMost(1)
	leave, err := full.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := full.Run(ctx, Command{Input: input, Args: []string{"-i", InputURL, "-f", "null", "-"}}); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("canceled while waiting: got %v", err)
	}
}

// x265 and SVT-AV1 look at the processor and its memory when they start.
func TestEncodersRunConfined(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for _, encoder := range []string{"libx264", "libx265", "libsvtav1", "aac"} {
		if !tools.HasEncoder(encoder) {
			t.Logf("skipped: no %s", encoder)
			continue
		}
		_, err := tools.Run(t.Context(), Command{
			Args:   []string{"-f", "lavfi", "-i", "testsrc2=s=128x128:d=0.2[out0];anullsrc=d=0.2[out1]", "-c:v", encoder, "-c:a", encoder, "-map", kindOf(encoder), "-f", "null", "-"},
			Limits: proc.Limits{CPU: time.Minute, Memory: 3 << 30, Wall: time.Minute},
		})
		if err != nil {
			t.Errorf("%s: %v", encoder, err)
		}
	}
}

func kindOf(encoder string) string {
	if encoder == "aac" {
		return "0:a"
	}
	return "0:v"
}

func TestBrokenDataIsCounted(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	clip, err := os.ReadFile(testkit.Generate(t, testkit.Pattern(320, 180, "25", 2)))
	if err != nil {
		t.Fatal(err)
	}
	for at := len(clip) / 4; at < len(clip)/2; at += 97 {
		clip[at] ^= 0x55
	}
	usage, err := tools.Run(t.Context(), Command{
		Input: open(t, write(t, "broken.mp4", string(clip))), Limits: DefaultConfig().ProbeLimits,
		Args: []string{"-threads", "1", "-i", InputURL, "-map", "0:v", "-f", "null", "-"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if usage.Errors == 0 || len(usage.Messages) == 0 || len(usage.Messages) > maxMessages {
		t.Errorf("got %d errors, messages %q", usage.Errors, usage.Messages)
	}
}

// endless is a run that ends only when it is ended.
func endless() Command {
	return Command{Args: []string{"-f", "lavfi", "-i", "testsrc2=s=640x360", "-f", "null", "-"}}
}

func TestLimitsBite(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	tests := []struct {
		name   string
		change func(*Command)
		reason proc.Reason
		code   fault.Code
	}{
		{"cpu", func(c *Command) { c.Limits.CPU = time.Second }, proc.CPULimit, fault.Limit},
		{"wall", func(c *Command) { c.Limits.Wall = 300 * time.Millisecond }, proc.WallLimit, fault.Limit},
		{"memory", func(c *Command) {
			c.Limits.Memory = 200 << 20
			c.Args = []string{"-f", "lavfi", "-i", "testsrc2=s=8192x8192", "-frames:v", "2", "-c:v", "libx264", "-f", "null", "-"}
		}, proc.MemoryLimit, fault.Limit},
		{"file size", func(c *Command) {
			c.Limits.FileSize = 1 << 20
			c.Args = []string{"-f", "lavfi", "-i", "testsrc2=s=640x360", "-c:v", "rawvideo", "-f", "rawvideo", "out"}
		}, proc.FileSizeLimit, fault.Limit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := endless()
			c.Dir = t.TempDir()
			c.Limits.Wall = 30 * time.Second
			tt.change(&c)
			usage, err := tools.Run(t.Context(), c)
			var e *proc.Error
			if !errors.As(err, &e) || e.Reason != tt.reason || fault.CodeOf(err) != tt.code {
				t.Fatalf("got %q: %v, want %q by %q", fault.CodeOf(err), err, tt.code, tt.reason)
			}
			if Retryable(err) {
				t.Errorf("%v: is retryable", err)
			}
			if usage.Wall <= 0 {
				t.Errorf("usage: got %+v", usage)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := endless()
	c.OnProgress = func(Progress) { cancel() }
	if _, err := tools.Run(ctx, c); fault.CodeOf(err) != fault.Canceled || Retryable(err) {
		t.Errorf("got %v, want %q", err, fault.Canceled)
	}
}

// TestKilled kills the child from outside, as the kernel does when memory is
// short, and as a person does.
func TestKilled(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		mark := fmt.Sprintf("size=640x%d", 300+2*int(signal)) // finds the child
		c := Command{
			Args:   []string{"-f", "lavfi", "-i", "testsrc2=" + mark, "-f", "null", "-"},
			Limits: proc.Limits{Wall: 30 * time.Second},
		}
		c.OnProgress = func(Progress) { killByArgument(t, mark, signal) }
		_, err := tools.Run(t.Context(), c)
		if !Retryable(err) || fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("%v: got %q: %v, want retryable", signal, fault.CodeOf(err), err)
		}
	}
}

func killByArgument(t *testing.T, mark string, signal syscall.Signal) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte(mark)) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err == nil {
			_ = syscall.Kill(pid, signal) // it may have ended
		}
	}
}

func TestPipeErrorIsReturned(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	enough := errors.New("enough")
	for _, want := range []error{enough, syscall.ENOSPC} {
		c := endless()
		c.Args = append(c.Args[:len(c.Args)-3], "-f", "rawvideo", PipeURL(0))
		c.Pipes = []io.Writer{failingWriter{want}}
		_, err := tools.Run(t.Context(), c)
		if !errors.Is(err, want) || (want != enough && fault.CodeOf(err) != fault.StorageFull) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestPlaylistsReadNothing gives playlists that name another file and an
// address. The allowed formats stop them; and, those aside, the sandbox does.
func TestPlaylistsReadNothing(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	secret := testkit.Generate(t, testkit.Pattern(320, 180, "25", 1))
	listener := newListener(t)
	for _, target := range []string{secret, "http://" + listener.address + "/secret.mp4"} {
		for name, text := range playlists(target) {
			in := open(t, write(t, "list", text))
			if _, err := tools.Probe(t.Context(), in); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%s of %s: probe: got %v, want %q", name, target, err, fault.Invalid)
			}
			guarded := Command{Input: in, Args: []string{"-i", InputURL, "-map", "0", "-f", "null", "-"}, Limits: DefaultConfig().ProbeLimits}
			if _, err := tools.Run(t.Context(), guarded); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%s of %s: run: got %v, want %q", name, target, err, fault.Invalid)
			}
		}
	}
	if n := listener.count(); n != 0 {
		t.Errorf("%d connections were made, want none", n)
	}
}

// TestSandboxAloneStopsPlaylists allows every demuxer and protocol, so that only
// the sandbox is left; without it, to prove the test, the same runs read.
func TestSandboxAloneStopsPlaylists(t *testing.T) {
	t.Parallel()
	if proc.Sandbox() == "none" {
		t.Skip("skipped: the kernel has no Landlock")
	}
	tools := findTools(t)
	secret := fragmented(t, tools)
	listener := newListener(t)
	address := "http://" + listener.address + "/secret.mp4"
	for name, text := range playlists(secret) {
		if name == "sdp" {
			continue // waits for UDP, which Landlock does not know
		}
		in := open(t, write(t, "list", text))
		if free := readBytes(t, tools, in, nil); free == 0 {
			t.Errorf("%s without the sandbox: read nothing, so that the test proves nothing", name)
		}
		if confined := readBytes(t, tools, in, &proc.Access{Files: []*os.File{in.File}}); confined != 0 {
			t.Errorf("%s: %d bytes were read, want none", name, confined)
		}
	}
	for name, text := range playlists(address) {
		if name == "sdp" {
			continue
		}
		in := open(t, write(t, "list", text))
		readBytes(t, tools, in, &proc.Access{Files: []*os.File{in.File}})
		if n := listener.count(); n != 0 {
			t.Errorf("%s: %d connections were made, want none", name, n)
		}
	}
	readBytes(t, tools, open(t, write(t, "list", playlists(address)["hls"])), nil)
	if listener.count() == 0 {
		t.Error("hls without the sandbox: made no connection, so that the test proves nothing")
	}
}

// unsafeOptions lets concat open absolute names; others do not know the option.
func unsafeOptions(in Input) []string {
	head := make([]byte, 8)
	if _, err := in.File.ReadAt(head, 0); err == nil && string(head) == "ffconcat" {
		return []string{"-safe", "0"}
	}
	return nil
}

// fragmented makes a clip that demuxers can read from its beginning alone.
func fragmented(t *testing.T, tools *Tools) string {
	t.Helper()
	c := Command{
		Input: open(t, testkit.Generate(t, testkit.Pattern(320, 180, "25", 1))),
		Args: []string{"-i", InputURL, "-map", "0:v", "-c", "copy", "-movflags", "frag_keyframe+empty_moov+default_base_moof",
			"-f", "mp4", "secret.mp4"},
		Dir: t.TempDir(), Limits: DefaultConfig().ProbeLimits,
	}
	if _, err := tools.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(c.Dir, "secret.mp4")
}

// readBytes opens the input with nothing forbidden but by access, and returns
// how many bytes of pictures come out.
func readBytes(t *testing.T, tools *Tools, in Input, access *proc.Access) int {
	t.Helper()
	var out bytes.Buffer
	_, _ = proc.Run(t.Context(), proc.Command{
		Path: tools.ffmpeg,
		Args: append(unsafeOptions(in), "-nostdin", "-protocol_whitelist", "file,http,tcp,crypto,data",
			"-i", InputURL, "-map", "0:v", "-f", "rawvideo", "pipe:1"),
		Env:    childEnv(),
		Files:  []*os.File{in.File},
		Stdout: &out,
		Limits: proc.Limits{Wall: 5 * time.Second},
		Access: access,
	}) // fails, as it should: what came out counts
	return out.Len()
}

func playlists(target string) map[string]string {
	return map[string]string{
		"hls":    "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n" + target + "\n#EXT-X-ENDLIST\n",
		"concat": "ffconcat version 1.0\nfile '" + target + "'\n",
		"sdp":    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=" + target + "\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 50040 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
		"dash": `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">` +
			`<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1000"><BaseURL>` + target + `</BaseURL></Representation></AdaptationSet></Period></MPD>`,
	}
}

// listener counts connections to an address of this machine.
type listener struct {
	address  string
	accepted chan net.Conn
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := &listener{address: l.Addr().String(), accepted: make(chan net.Conn, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
			out.accepted <- c
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return out
}

func (l *listener) count() int { return len(l.accepted) }

func TestProgressReader(t *testing.T) {
	t.Parallel()
	var got []Progress
	r := progressReader{report: func(p Progress) { got = append(got, p) }}
	w := &lineWriter{each: r.line}
	io.WriteString(w, "frame=12\nfps=0.00\ntotal_size=N/A\nout_time_us=480000\ndup_frames=1\ndrop_frames=2\nspeed=  51x\nprogress=continue\n")
	io.WriteString(w, "frame=25\ntotal_size=1000\nout_time_us=-9223372036854775807\nspeed=N/A\nnonsense\nprogress=end\n")
	want := []Progress{
		{Frame: 12, OutTime: 480 * time.Millisecond, Speed: 51, Doubled: 1, Dropped: 2},
		{Frame: 25, TotalSize: 1000, Doubled: 1, Dropped: 2, Done: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

func TestGuarded(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	got := c.guarded([]string{"-ss", "1", "-i", InputURL, "-i", "mask.png", "-f", "null", "-"})
	want := append(append([]string{"-ss", "1"}, c.guards()...), "-i", InputURL, "-i", "mask.png", "-f", "null", "-")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestMessageLog(t *testing.T) {
	t.Parallel()
	var log messageLog
	for _, line := range []string{
		"[h264 @ 0x55d2f388c4c0] [error] error while decoding MB 34 12, bytestream -57",
		"[h264 @ 0x55d2f388c4c0] [error] error while decoding MB 1 2, bytestream 3",
		"[h264 @ 0x55d2f388c4c0] [error] error while decoding MB 7 0, bytestream 57",
		"[h264 @ 0x1] [IMGUTILS @ 0x2] [error] Picture size 64x64 exceeds",
		"[warning] /proc/self/fd/3: corrupt decoded frame in stream 0",
		"[warning] Codec AVOption max_pixels has not been used for any stream.",
		"x265 [info]: HEVC encoder version 3.5",
		"Consider increasing the value for the 'analyzeduration'",
		"[error", "[]", "",
	} {
		if err := log.add([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"error while decoding MB # #, bytestream -#",
		"error while decoding MB # #, bytestream # (2 times)",
		"Picture size # exceeds",
		"input: corrupt decoded frame in stream #",
	}
	if diff := cmp.Diff(want, log.texts()); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if log.errors != 4 || log.warnings != 1 || log.corrupt != 1 {
		t.Errorf("got %d errors, %d warnings, %d corrupt, want 4, 1, 1", log.errors, log.warnings, log.corrupt)
	}
	for i := range 100 {
		_ = log.add(fmt.Appendf(nil, "[error] kind %s%s", strings.Repeat("x", i), strings.Repeat("y", 1000)))
	}
	if n := len(log.texts()); n != maxMessages || len(log.texts()[n-1]) > maxMessage {
		t.Errorf("got %d messages, want %d short ones", n, maxMessages)
	}
}

// Lines come out whole, however they were cut on the way in.
func TestLineWriter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.StringMatching(`[a-z,]{0,12}`)).Draw(t, "lines")
		text := strings.Join(want, "\n")
		var got []string
		w := &lineWriter{each: func(line []byte) error { got = append(got, string(line)); return nil }}
		for len(text) > 0 {
			n := rapid.IntRange(1, len(text)).Draw(t, "cut")
			if _, err := io.WriteString(w, text[:n]); err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
		_ = w.flush()
		if len(want) > 0 && want[len(want)-1] == "" {
			want = want[:len(want)-1] // no line after the last end
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) != len(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestLineWriterCutsLongLines(t *testing.T) {
	t.Parallel()
	for _, chunk := range []int{100, 10 * maxLine} {
		var got []int
		w := &lineWriter{each: func(line []byte) error { got = append(got, len(line)); return nil }}
		text := []byte(strings.Repeat("x", 3*maxLine) + "\nab\n")
		for len(text) > 0 {
			n := min(chunk, len(text))
			w.Write(text[:n])
			text = text[n:]
		}
		if diff := cmp.Diff([]int{maxLine, 2}, got); diff != "" {
			t.Errorf("lengths in chunks of %d (-want +got):\n%s", chunk, diff)
		}
	}
}
