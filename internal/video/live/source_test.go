package live

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/blob"
	"liuyun/internal/testkit"
)

// newSourced is a cloud that may fetch from this machine, and has one asset whose files
// are in a folder.
func newSourced(t *testing.T, asset string) *cloud {
	t.Helper()
	c := newCloud(t)
	c.Config.Allow, c.Config.UDPPorts = []string{"127.0.0.1"}, []string{"1024-65535"}
	if asset == "" {
		asset = t.TempDir()
	}
	objects, err := blob.NewFS(filepath.Dir(asset), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	c.Objects = objects
	c.Published = func(_ context.Context, tenant, id string) (string, error) {
		if tenant != "ten_a" || id != "ast_1" {
			return "", fault.New(fault.NotFound, "there is no asset %q", id)
		}
		return filepath.Base(asset) + "/", nil
	}
	return c
}

// source waits until the API shows a source in a state.
func (c *cloud) source(t *testing.T, stream string, want SourceState) *StreamSource {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		s, _ := c.call(t, writer, 200, "GET", "/v1/streams/"+stream, "")
		if s.Source != nil && s.Source.State == want {
			return s.Source
		}
		if time.Now().After(end) {
			t.Fatalf("the source is %+v, want %s", s.Source, want)
		}
	}
}

func TestSourceAPI(t *testing.T) {
	t.Parallel()
	c := newSourced(t, "")
	c.Config.UDPPorts = []string{"5000-5001"}
	c.call(t, writer, 503, "POST", "/v1/streams", `{"source":{"asset":"ast_1"}}`) // nothing is taken in here yet
	c.serve(t)
	for body, want := range map[string]int{
		`{"source":{"url":"ftp://a/b"}}`: 400, `{"source":{"url":"nonsense"}}`: 400, `{"source":{"url":"srt://a"}}`: 400, `{"source":{"url":"srt://a:1?passphrase=short"}}`: 400,
		`{"source":{"url":"udp://0.0.0.0:5002"}}`: 403, `{"source":{"url":"udp://host:5000"}}`: 400, `{"source":{"asset":"ast_2"}}`: 404,
		`{"source":{"url":"https://a/b","asset":"ast_1"}}`: 400, `{"source":{"url":"https://a/#b"}}`: 400,
	} {
		c.call(t, writer, want, "POST", "/v1/streams", body)
	}
	plain, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	path := "/v1/streams/" + plain.ID
	if plain.Source != nil {
		t.Errorf("a source: %+v", plain.Source)
	}
	changed, etag := c.call(t, writer, 200, "PATCH", path, `{"source":{"url":"rtsp://cam:secret@127.0.0.1:9/a"}}`)
	if s := changed.Source; s == nil || s.URL != "rtsp://cam:xxxxx@127.0.0.1:9/a" {
		t.Errorf("changed to %+v", s)
	}
	waiting := c.source(t, plain.ID, SourceWaiting)
	if waiting.Problem == "" || waiting.NextTry == nil || strings.Contains(waiting.Problem, "secret") {
		t.Errorf("%+v", waiting)
	}
	c.call(t, writer, 200, "POST", path+"/start", "")
	c.call(t, writer, 412, "POST", path+"/stop", "", "If-Match", etag)
	c.call(t, "ten_b assets:write", 404, "POST", path+"/stop", "")
	c.call(t, "ten_a assets:read", 403, "POST", path+"/start", "")
	if s, _ := c.call(t, writer, 200, "POST", path+"/stop", ""); !s.Stopped || s.Source.State != SourceStopped || s.Source.Problem != "" {
		t.Errorf("stopped: %v, %+v", s.Stopped, s.Source)
	}
	if s, _ := c.call(t, writer, 200, "PATCH", path, `{"source":{"asset":"ast_1"}}`); !s.Stopped || s.Source.State != SourceStopped {
		t.Errorf("another source has started it: %+v", s.Source)
	}
	if s, _ := c.call(t, writer, 200, "PATCH", path, `{"source":{}}`); s.Source != nil || !s.Stopped {
		t.Errorf("taken away: %+v", s.Source)
	}
	secret, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{"source":{"url":"srt://127.0.0.1:9?streamid=read:x&passphrase=0123456789"}}`)
	if strings.Contains(secret.Source.URL, "0123456789") {
		t.Errorf("the passphrase is shown: %s", secret.Source.URL)
	}
	c.call(t, writer, 204, "DELETE", "/v1/streams/"+secret.ID, "")
}

// What is inside private networks is not fetched unless the operator allows it.
func TestSourceInside(t *testing.T) {
	t.Parallel()
	c := newSourced(t, "")
	c.Config.Allow = nil
	c.serve(t)
	inside := httptest.NewServer(http.NotFoundHandler())
	defer inside.Close()
	host := strings.TrimPrefix(inside.URL, "http://")
	for _, address := range []string{inside.URL, "srt://" + host, "rtsp://" + host + "/a"} {
		made, _ := c.call(t, writer, 201, "POST", "/v1/streams", fmt.Sprintf(`{"source":{"url":%q}}`, address))
		if s := c.source(t, made.ID, SourceWaiting); !strings.Contains(s.Problem, "private network") {
			t.Errorf("%s: %+v", address, s)
		}
	}
}

// runFFmpeg runs ffmpeg until the test ends.
func runFFmpeg(t *testing.T, args ...string) {
	t.Helper()
	line := append([]string{"-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-threads", "1", "-c:a", "aac"}, args...)
	ctx, stop := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, testkit.FFmpeg(t), line...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = command.Wait()
	})
}

// film is a folder of playlists of six seconds, with pictures and sound apart.
func film(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "film")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), testkit.FFmpeg(t), "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "6",
		"-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod",
		"-hls_segment_type", "fmp4", "-var_stream_map", "v:0,agroup:a a:0,agroup:a,default:yes", "-hls_fmp4_init_filename", "init.mp4", "-master_pl_name", "master.m3u8", "list%v.m3u8")
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v %s", err, out)
	}
	return folder
}

func freePort(t *testing.T) int {
	t.Helper()
	probe, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	return probe.LocalAddr().(*net.UDPAddr).Port
}

// What is fetched is on air, whatever it is fetched by, until it is stopped.
func TestSources(t *testing.T) {
	t.Parallel()
	folder := film(t)
	c := newSourced(t, folder)
	c.serve(t)
	files := httptest.NewServer(http.FileServer(http.Dir(folder)))
	defer files.Close()
	called, udp := freePort(t), freePort(t)
	for name, tt := range map[string]struct {
		source string
		sends  []string
		sound  string
	}{
		"srt":   {fmt.Sprintf(`{"url":"srt://127.0.0.1:%d?streamid=any"}`, called), []string{"-f", "mpegts", fmt.Sprintf("srt://127.0.0.1:%d?mode=listener", called)}, "mp4a.40.2"},
		"udp":   {fmt.Sprintf(`{"url":"udp://127.0.0.1:%d"}`, udp), []string{"-f", "mpegts", fmt.Sprintf("udp://127.0.0.1:%d?pkt_size=1316", udp)}, "mp4a.40.2"},
		"asset": {`{"asset":"ast_1"}`, nil, "mp4a.40.2"},
		"hls":   {fmt.Sprintf(`{"url":%q}`, files.URL+"/master.m3u8"), nil, "mp4a.40.2"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.sends != nil {
				runFFmpeg(t, tt.sends...)
			}
			made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{"source":`+tt.source+`}`)
			c.await(t, made.ID, Live)
			c.source(t, made.ID, SourceRunning)
			r := c.reader(t, made.ID)
			for i := range 20 {
				if item := next(t, r); i == 0 && len(item.Tracks) != 2 {
					t.Errorf("tracks %+v", item.Tracks)
				}
			}
			c.call(t, writer, 200, "POST", "/v1/streams/"+made.ID+"/stop", "")
			c.await(t, made.ID, Idle)
			c.source(t, made.ID, SourceStopped)
			c.call(t, writer, 204, "DELETE", "/v1/streams/"+made.ID, "")
		})
	}
}

// A source goes on when the server does, and one that ends is begun again.
func TestSourceGoesOn(t *testing.T) {
	t.Parallel()
	c := newSourced(t, film(t))
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		ready, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- c.Run(ctx, Listeners{}, func() { close(ready) }) }()
		<-ready
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	stop := run()
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{"source":{"asset":"ast_1"}}`)
	c.await(t, made.ID, Live)
	stop()
	next := New(c.Deps)
	c.Service = next
	stop = run()
	defer stop()
	testkit.Until(t, time.Minute, "it goes on", func() bool {
		c.fetching.mu.Lock()
		f := c.fetching.running[made.ID]
		c.fetching.mu.Unlock()
		d := &StreamSource{}
		if f != nil {
			f.show(d)
		}
		return d.State == SourceRunning
	})
}
