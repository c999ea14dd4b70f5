package hls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ingest/ingesttest"
	"liuyun/internal/testkit"
)

const film = 6 // seconds, of 25 pictures; segments of 2

// published is a folder of playlists that ffmpeg makes of a film of six seconds.
func published(t *testing.T, args ...string) string {
	t.Helper()
	folder := t.TempDir()
	line := append([]string{"-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", fmt.Sprint(film),
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod"}, args...)
	command := exec.CommandContext(t.Context(), testkit.FFmpeg(t), line...)
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v %s", err, out)
	}
	return folder
}

func plain(t *testing.T) string { return published(t, "main.m3u8") }

// apart has pictures and sound in fragmented MP4 of their own.
func apart(t *testing.T) string {
	return published(t, "-map", "0:v", "-map", "1:a", "-hls_segment_type", "fmp4", "-var_stream_map", "v:0,agroup:a a:0,agroup:a,default:yes", "-hls_fmp4_init_filename", "init.mp4",
		"-master_pl_name", "main.m3u8", "list%v.m3u8")
}

// files fetches from a folder.
func files(folder string) Fetch {
	return func(_ context.Context, address string, part hls.SourceRange) (io.ReadCloser, string, error) {
		data, err := os.ReadFile(filepath.Join(folder, strings.TrimPrefix(address, "file:///")))
		if err != nil {
			return nil, "", fault.New(fault.NotFound, "%s is not there", address)
		}
		if part.Length > 0 {
			data = data[part.Offset:][:part.Length]
		}
		return io.NopCloser(bytes.NewReader(data)), address, nil
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// pull pulls for so long, in a time of the test's own.
func pull(t *testing.T, p *Puller, address string, long time.Duration) (in *ingesttest.Input, err error) {
	t.Helper()
	in = &ingesttest.Input{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		err = p.Pull(ctx, address, in)
	})
	return in, err
}

// inTime looks whether pictures and sound go on evenly, and come in their time.
func inTime(t *testing.T, in *ingesttest.Input) {
	t.Helper()
	for i := 1; i < len(in.Pictures); i++ {
		before, now := in.Pictures[i-1], in.Pictures[i]
		if step := now.DTS - before.DTS; step != 3600 {
			t.Fatalf("picture %d is %d ticks after the one before it", i, step)
		}
		if step := now.At.Sub(before.At); step < 39*time.Millisecond || step > 41*time.Millisecond {
			t.Fatalf("picture %d comes %v after the one before it", i, step)
		}
	}
	for i := 1; i < len(in.Sounds); i++ {
		// Where a film begins again its sound may be a frame longer than its pictures.
		if step := in.Sounds[i].PTS - in.Sounds[i-1].PTS; step < -2000 || step > 4000 {
			t.Fatalf("sound %d is %d ticks after the one before it", i, step)
		}
	}
	off := in.Sounds[0].PTS - in.Pictures[0].PTS
	if off < -9000 || off > 9000 {
		t.Errorf("the sound begins %d ticks after the pictures", off)
	}
}

// A finished playlist is played once, in its own time.
func TestFinished(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]string{"ts": plain(t), "fmp4": apart(t)} {
		in, err := pull(t, &Puller{Fetch: files(folder), Log: quiet()}, "file:///main.m3u8", time.Hour)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		slices.Sort(in.Codecs)
		if len(in.Pictures) != film*25 || len(in.Sounds) < film*46 || !slices.Equal(in.Codecs, []hub.Codec{hub.AAC, hub.H264}) || !slices.Equal(in.Expected, [][2]bool{{true, true}}) {
			t.Errorf("%s: %d pictures, %d frames of sound, %v, expected %v", name, len(in.Pictures), len(in.Sounds), in.Codecs, in.Expected)
		}
		inTime(t, in)
	}
}

// A file that is played as live goes on and on without a seam.
func TestLoop(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]string{"ts": plain(t), "fmp4": apart(t)} {
		in, err := pull(t, &Puller{Fetch: files(folder), Loop: true, Log: quiet()}, "file:///main.m3u8", 20*time.Second)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%s: %v", name, err)
		}
		if n := len(in.Pictures); n < 495 || n > 502 {
			t.Errorf("%s: %d pictures in twenty seconds", name, n)
		}
		inTime(t, in)
	}
}

// live reveals a finished playlist bit by bit, as long as the test's time goes on.
type live struct {
	folder string
	begun  time.Time
	keep   int
	ended  bool
	asked  map[string]int
}

func (l *live) fetch(ctx context.Context, address string, part hls.SourceRange) (io.ReadCloser, string, error) {
	l.asked[filepath.Base(address)]++
	if !strings.HasSuffix(address, "main.m3u8") {
		return files(l.folder)(ctx, address, part)
	}
	there := 8 + int(time.Since(l.begun)/(2*time.Second))
	from := max(there-l.keep, 0)
	text := fmt.Sprintf("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", from, (from+2)/3)
	for i := from; i < there; i++ {
		if i%3 == 0 && i > 0 { // the film of three segments begins again
			text += "#EXT-X-DISCONTINUITY\n"
		}
		text += fmt.Sprintf("#EXTINF:2,\nmain%d.ts\n", i%3)
	}
	if l.ended {
		text += "#EXT-X-ENDLIST\n"
	}
	return io.NopCloser(strings.NewReader(text)), address, nil
}

// A live playlist is begun at its edge and followed over discontinuities.
func TestLive(t *testing.T) {
	t.Parallel()
	folder := plain(t)
	in := &ingesttest.Input{}
	synctest.Test(t, func(t *testing.T) {
		l := &live{folder: folder, begun: time.Now(), keep: 4, asked: make(map[string]int)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := (&Puller{Fetch: l.fetch, Log: quiet()}).Pull(ctx, "file:///main.m3u8", in); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if n := l.asked["main.m3u8"]; n < 20 || n > 70 {
			t.Errorf("the playlist was asked for %d times in a minute", n)
		}
	})
	if n := len(in.Pictures); n < 58*25 || n > 61*25 {
		t.Errorf("%d pictures in a minute", n)
	}
	inTime(t, in)
}

// A live playlist that stands still is given up, to be tried again.
func TestStandsStill(t *testing.T) {
	t.Parallel()
	folder := plain(t)
	text, err := os.ReadFile(filepath.Join(folder, "main.m3u8"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "still.m3u8"), bytes.ReplaceAll(text, []byte("#EXT-X-ENDLIST"), nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pull(t, &Puller{Fetch: files(folder), Log: quiet()}, "file:///still.m3u8", time.Hour); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	variant := func(uri string, bandwidth int64, audio string, codecs ...string) hls.SourceVariant {
		return hls.SourceVariant{URI: uri, Bandwidth: bandwidth, Codecs: codecs, Audio: audio}
	}
	for name, tt := range map[string]struct {
		source hls.Source
		want   []string
	}{
		"largest": {hls.Source{Variants: []hls.SourceVariant{variant("a", 1, ""), variant("b", 3, ""), variant("c", 2, "")}}, []string{"http://h/x/b"}},
		"usable":  {hls.Source{Variants: []hls.SourceVariant{variant("a", 1, "", "avc1.4"), variant("b", 3, "", "av01.1"), variant("c", 2, "", "hvc1.1")}}, []string{"http://h/x/a"}},
		"hevc":    {hls.Source{Variants: []hls.SourceVariant{variant("b", 3, "", "av01.1"), variant("c", 2, "", "hvc1.1", "mp4a.40.2")}}, []string{"http://h/x/c"}},
		"sound": {hls.Source{Variants: []hls.SourceVariant{variant("a", 1, "g")}, Sounds: []hls.SourceSound{{Group: "f", URI: "no", Default: true}, {Group: "g", URI: "s"}, {Group: "g", URI: "/d", Default: true}}},
			[]string{"http://h/x/a", "http://h/d"}},
		"sound within": {hls.Source{Variants: []hls.SourceVariant{variant("a", 1, "g")}, Sounds: []hls.SourceSound{{Group: "g", Default: true}}}, []string{"http://h/x/a"}},
	} {
		got, err := choose(&tt.source, "http://h/x/main.m3u8")
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	_, err := choose(&hls.Source{Variants: []hls.SourceVariant{variant("b", 3, "", "av01.1", "ac-3")}}, "http://h/")
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), "[ac-3 av01.1]") {
		t.Errorf("got %v", err)
	}
}

// What answers otherwise than a playlist is said to be none.
func TestHTTP(t *testing.T) {
	t.Parallel()
	folder := plain(t)
	mux := http.NewServeMux()
	mux.Handle("/film/", http.StripPrefix("/film/", http.FileServer(http.Dir(folder))))
	mux.Handle("/moved.m3u8", http.RedirectHandler("/film/main.m3u8", http.StatusFound))
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })
	mux.HandleFunc("/locked", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	mux.HandleFunc("/empty.m3u8", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\npage\n#EXT-X-ENDLIST\n")
	})
	mux.HandleFunc("/secret.m3u8", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2,\npage\n#EXT-X-ENDLIST\n")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]fault.Code{"/page": fault.Invalid, "/locked": fault.Forbidden, "/nothing": fault.NotFound, "/empty.m3u8": fault.Invalid, "/secret.m3u8": fault.Invalid} {
		p := &Puller{Fetch: HTTP(server.Client()), Log: quiet()}
		if err := p.Pull(t.Context(), server.URL+path, &ingesttest.Input{}); fault.CodeOf(err) != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
	in := &ingesttest.Input{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stop := &stopping{Input: in, after: 30, stop: cancel}
	if err := (&Puller{Fetch: HTTP(server.Client()), Log: quiet()}).Pull(ctx, server.URL+"/moved.m3u8", stop); !errors.Is(err, context.Canceled) || len(in.Pictures) < 30 {
		t.Errorf("%d pictures, %v", len(in.Pictures), err)
	}
	// Ranges, also where a server knows none.
	for _, path := range []string{"/film/main.m3u8", "/page"} {
		body, _, err := HTTP(server.Client())(t.Context(), server.URL+path, hls.SourceRange{Offset: 1, Length: 3})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		body.Close()
		if err != nil || len(text) != 3 {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
}

// stopping ends after so many pictures.
type stopping struct {
	*ingesttest.Input
	after int
	stop  func()
}

func (s *stopping) Picture(p ingest.Picture) error {
	if len(s.Pictures)+1 >= s.after {
		s.stop()
	}
	return s.Input.Picture(p)
}

// An address gives a playlist or a transport stream, and what is neither is said to be.
func TestWeb(t *testing.T) {
	t.Parallel()
	folder := plain(t)
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(folder)))
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("<html>", 20_000)) })
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })
	server := httptest.NewServer(mux)
	defer server.Close()
	web := &Web{Client: server.Client(), Log: quiet()}
	in := &ingesttest.Input{}
	if err := web.Pull(t.Context(), server.URL+"/main1.ts", in); err != nil || len(in.Pictures) != 50 || len(in.Sounds) < 80 {
		t.Errorf("%d pictures, %d frames of sound, %v", len(in.Pictures), len(in.Sounds), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := web.Pull(ctx, server.URL+"/main.m3u8", &stopping{Input: &ingesttest.Input{}, after: 10, stop: cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("a playlist: %v", err)
	}
	for path, want := range map[string]fault.Code{"/page": fault.Invalid, "/short": fault.Invalid, "/nothing": fault.NotFound} {
		if err := web.Pull(t.Context(), server.URL+path, &ingesttest.Input{}); fault.CodeOf(err) != want {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}
