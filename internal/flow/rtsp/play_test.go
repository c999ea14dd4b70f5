package rtsp

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/pion/rtp"

	"liuyun/internal/av/h264"
	"liuyun/internal/av/opus"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest/ingesttest"
	"liuyun/internal/testkit"
)

// watchURL is where the desk's stream plays.
func watchURL(address string) string {
	return "rtsp://" + address + "/play/" + goodStream + "?token=" + url.QueryEscape(goodToken)
}

// count returns how many frames of a kind, "v" or "a", are in a file.
func count(t *testing.T, file, kind string) int {
	t.Helper()
	c := start(t, testkit.FFprobe(t), "-v", "error", "-select_streams", kind+":0", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", file)
	if err := c.wait(t); err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(c.log.String())
	if len(lines) == 0 {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSuffix(lines[len(lines)-1], ","))
	if err != nil {
		t.Fatalf("ffprobe says %q", c.log.String())
	}
	return n
}

// ffmpeg plays what ffmpeg pushes, over both transports, from a key frame on.
func TestFFmpegPlays(t *testing.T) {
	t.Parallel()
	hevc := []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:bframes=0:pools=1:log-level=error", "-pix_fmt", "yuv420p", "-c:a", "libopus", "-ac", "2"}
	for name, codecs := range map[string][]string{"tcp": plain(), "udp": plain(), "tcp hevc": hevc} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport, _, _ := strings.Cut(name, " ")
			d := newDesk()
			address, _ := serve(t, d)
			encode(t, 0, slices.Concat(codecs, []string{"-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://" + address + "/live/" + goodKey})...)
			await(t, d.Await(t, 1), 30, 30)
			file := filepath.Join(t.TempDir(), "played.mkv")
			p := start(t, testkit.FFmpeg(t), "-v", "warning", "-rtsp_transport", transport, "-i", watchURL(address), "-t", "3", "-c", "copy", file)
			if err := p.wait(t); err != nil {
				t.Fatal(err)
			}
			if pictures, sound := count(t, file, "v"), count(t, file, "a"); pictures < 65 || sound < 120 {
				t.Errorf("%d pictures and %d frames of sound in 3 s", pictures, sound)
			}
		})
	}
}

// GStreamer plays too.
func TestGStreamerPlays(t *testing.T) {
	t.Parallel()
	gst := testkit.Program(t, "gst-launch-1.0")
	for _, protocols := range []string{"tcp", "udp"} {
		t.Run(protocols, func(t *testing.T) {
			t.Parallel()
			d := newDesk()
			address, _ := serve(t, d)
			encode(t, 0, slices.Concat(plain(), []string{"-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://" + address + "/live/" + goodKey})...)
			await(t, d.Await(t, 1), 30, 0)
			file := filepath.Join(t.TempDir(), "played.h264")
			start(t, gst, "-q", "rtspsrc", "location="+watchURL(address), "protocols="+protocols, "!",
				"rtph264depay", "!", "h264parse", "!", "video/x-h264,stream-format=byte-stream", "!", "filesink", "buffer-mode=unbuffered", "location="+file)
			var size int64
			for end := time.Now().Add(time.Minute); size < 30<<10 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if info, err := os.Stat(file); err == nil {
					size = info.Size()
				}
			}
			if n := count(t, file, "v"); n < 5 {
				t.Errorf("%d pictures in %d bytes", n, size)
			}
		})
	}
}

// Who may not watch is told so.
func TestPlayRefused(t *testing.T) {
	t.Parallel()
	d := newDesk()
	address, _ := serve(t, d)
	for path, want := range map[string]string{
		"/play/str_none?token=" + goodToken:    "404",
		"/play/" + goodStream + "?token=worse": "403",
		"/play/" + goodStream:                  "403",
	} {
		p := start(t, testkit.FFmpeg(t), "-v", "error", "-rtsp_transport", "tcp", "-i", "rtsp://"+address+path, "-f", "null", "-")
		if err := p.wait(t); err == nil || !strings.Contains(p.log.String(), want) {
			t.Errorf("%s: %v, %s", path, err, p.log.String())
		}
	}
}

// fakeStream is a desk whose stream a test writes.
func fakeStream(t *testing.T) *ingesttest.Desk {
	t.Helper()
	d := newDesk()
	config, err := h264.Config([][]byte{{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}}, [][]byte{{0x08, 0x06, 0x07, 0x08}})
	if err != nil {
		t.Fatal(err)
	}
	d.Out.Begin([]hub.Track{
		{Codec: hub.H264, Clock: 90000, Config: config, Width: 1920, Height: 1080},
		{Codec: hub.Opus, Clock: opus.Rate, Config: opus.Plain(2).Record(), Channels: 2},
	})
	return d
}

// writePicture writes the nth picture, of so many bytes.
func writePicture(s *hub.Stream, n, size int, key bool) {
	data := make([]byte, 4+size)
	data[2], data[3], data[4], data[5], data[6] = byte(size>>8), byte(size), 0x41, byte(n>>8), byte(n)
	if key {
		data[4] = 0x65
	}
	at := int64(n) * 3600
	s.Write(hub.Unit{DTS: at, PTS: at, Key: key, Wall: time.Unix(1000, 0).Add(time.Duration(n) * 40 * time.Millisecond), Data: data})
}

// watcher is a player of ours, that tells which pictures come.
type watcher struct {
	client *gortsplib.Client
	slices chan []byte // the first bytes of each
	hold   chan struct{}
	held   atomic.Bool
	sound  atomic.Int64
}

func watch(t *testing.T, address string) *watcher {
	t.Helper()
	u, err := base.ParseURL(watchURL(address))
	if err != nil {
		t.Fatal(err)
	}
	tcp := gortsplib.ProtocolTCP
	w := &watcher{slices: make(chan []byte, 100_000), hold: make(chan struct{})}
	w.client = &gortsplib.Client{Scheme: u.Scheme, Host: u.Host, Protocol: &tcp, ReadTimeout: time.Minute, OnPacketsLost: func(uint64) {}}
	if err := w.client.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	d, _, err := w.client.Describe(u)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.client.SetupAll(d.BaseURL, d.Medias); err != nil {
		t.Fatal(err)
	}
	decoder, err := d.Medias[0].Formats[0].(*format.H264).CreateDecoder()
	if err != nil {
		t.Fatal(err)
	}
	w.client.OnPacketRTPAny(func(m *description.Media, _ format.Format, p *rtp.Packet) {
		if w.held.Load() {
			<-w.hold
		}
		if m.Type == description.MediaTypeAudio {
			w.sound.Add(1)
			return
		}
		units, err := decoder.Decode(p)
		if err != nil {
			return
		}
		for _, unit := range units {
			if kind := unit[0] & 0x1f; kind == 1 || kind == 5 {
				w.slices <- unit[:3]
			}
		}
	})
	if _, err := w.client.Play(nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// next returns which picture comes next, and whether it is a key.
func (w *watcher) next(t *testing.T) (n int, key bool) {
	t.Helper()
	select {
	case unit := <-w.slices:
		return int(unit[1])<<8 | int(unit[2]), unit[0] == 0x65
	case <-time.After(time.Minute):
		t.Fatal("no picture comes")
		return 0, false
	}
}

// A player that takes nothing holds up nobody, and goes on at a key frame.
func TestSlowPlayer(t *testing.T) {
	t.Parallel()
	d := fakeStream(t)
	address, _ := serve(t, d)
	writePicture(d.Out, 0, 1000, true)
	d.Out.Write(hub.Unit{Track: 1, Key: true, Wall: time.Unix(1000, 0), Data: []byte{0xf8, 0xff, 0xfe}})
	slow, quick := watch(t, address), watch(t, address)
	for _, w := range []*watcher{slow, quick} {
		if n, key := w.next(t); n != 0 || !key {
			t.Fatalf("the first picture is %d, key %v", n, key)
		}
	}
	slow.held.Store(true)
	const all = 1500 // of 60 kB: more than queues, sockets and the stream hold
	for n := 1; n <= all; n++ {
		writePicture(d.Out, n, 60_000, n%25 == 0)
		if got, _ := quick.next(t); got != n {
			t.Fatalf("the quick player got picture %d, want %d", got, n)
		}
	}
	close(slow.hold)
	slow.held.Store(false)
	skipped := 0
	for last := 0; last < all; {
		n, key := slow.next(t)
		if n != last+1 {
			skipped += n - last - 1
			if !key {
				t.Errorf("after picture %d comes %d, which is no key frame", last, n)
			}
		}
		last = n
	}
	if skipped == 0 {
		t.Error("the slow player got everything: it was not slow")
	}
	if quick.sound.Load() == 0 {
		t.Error("no sound came")
	}
}

// Another configuration ends what players see; the end of the stream too.
func TestTracksChange(t *testing.T) {
	t.Parallel()
	d := fakeStream(t)
	address, _ := serve(t, d)
	writePicture(d.Out, 0, 100, true)
	w := watch(t, address)
	w.next(t)
	d.Out.Begin([]hub.Track{{Codec: hub.Opus, Clock: opus.Rate, Config: opus.Plain(1).Record(), Channels: 1}})
	d.Out.Write(hub.Unit{Key: true, Wall: time.Unix(1001, 0), Data: []byte{0xf8, 0xff, 0xfe}})
	ended := make(chan error, 1)
	go func() { ended <- w.client.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the player was not told")
		}
	case <-time.After(time.Minute):
		t.Error("the player sees nothing, for ever")
	}
}

// The stream's end in a server that stops: nobody is left.
func TestStop(t *testing.T) {
	t.Parallel()
	d := fakeStream(t)
	address, _ := serve(t, d)
	writePicture(d.Out, 0, 100, true)
	w := watch(t, address)
	w.next(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d.Out.End(nil)
	ended := make(chan error, 1)
	go func() { ended <- w.client.Wait() }()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("the player stays where nothing comes any more")
	}
}
