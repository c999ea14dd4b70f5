package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/blob"
)

func pictures() hub.Track {
	return hub.Track{
		Codec: hub.H264, Clock: 90000, Width: 640, Height: 360, Rate: timebase.R(25, 1),
		Config: []byte{1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xee, 0xfd, 0xf8, 0xf8, 0},
	}
}

// cut makes a window of so many seconds of pictures and sound, with a pause of a minute
// after half of it if broken.
func cut(t *testing.T, seconds int, broken bool) *window.Group {
	t.Helper()
	folder := t.TempDir()
	g, err := window.New(window.Options{Folder: folder, First: 100})
	if err != nil {
		t.Fatal(err)
	}
	out := hub.New(hub.Limits{Units: 1 << 14, Bytes: 1 << 30})
	out.Begin([]hub.Track{
		pictures(),
		{Codec: hub.AAC, Clock: 48000, Config: []byte{0x11, 0x90}, Channels: 2},
	})
	ended := make(chan error)
	go func() { ended <- g.Run(t.Context(), out.Read()) }()
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	away := int64(0)
	for n := range int64(25 * seconds) {
		if broken && n == 25*int64(seconds)/2 {
			away = 60
		}
		at := n*3600 + away*90000
		wall := noon.Add(time.Duration(at) * time.Second / 90000)
		out.Write(hub.Unit{DTS: at, PTS: at + 7200, Key: n%50 == 0, Wall: wall, Data: bytes.Repeat([]byte{byte(n)}, 400)})
		for s := n * 1920; s < (n+1)*1920; s++ {
			if s%1024 == 0 {
				out.Write(hub.Unit{Track: 1, DTS: s + away*48000, PTS: s + away*48000, Key: true, Wall: wall, Data: []byte{byte(s), 1, 2, 3}})
			}
		}
		if n%50 == 0 {
			pace(t, g, folder, time.Duration(n)*time.Second/25)
		}
	}
	out.End(nil)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return g
}

// pace waits until a window has come as far, and is on the disk: a stream is not
// sent faster than a disk writes.
func pace(t *testing.T, g *window.Group, folder string, sent time.Duration) {
	t.Helper()
	for t.Context().Err() == nil {
		open, next := g.Next()
		_, err := os.Stat(filepath.Join(folder, "video", fmt.Sprintf("%d.m4s", open-1)))
		if next > 100 && g.Health().Window >= sent-6*time.Second && (err == nil || open == 100) {
			return
		}
		runtime.Gosched()
	}
}

// keepUp waits until a rendition that is made of the stream, and begins with it, is no
// further behind than a segment: what is later than that is a gap, and who begins to
// read does so with the newest key frame.
func keepUp(t *testing.T, g *window.Group, rendition string) {
	t.Helper()
	for t.Context().Err() == nil {
		open, next := g.Next()
		if _, begun := g.Section(rendition, 100); begun && open >= next-2 {
			return
		}
		runtime.Gosched()
	}
}

func objects(t *testing.T) *blob.FS {
	t.Helper()
	fs, err := blob.NewFS(t.TempDir(), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	return fs
}

// of returns a recording of a window that has ended.
func of(g *window.Group, store blob.Store) *Recording {
	_, next := g.Next()
	r := &Recording{
		Source: g, Objects: store, Folder: "assets/ast_1/", First: 100, Log: slog.New(slog.DiscardHandler), pause: time.Millisecond,
		Noted: func(context.Context, int64, State) error { return nil },
	}
	r.End(next - 1)
	return r
}

// folder is what lies below the media of a recording, but for the index.
func folder(t *testing.T, store blob.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := store.List(t.Context(), "assets/ast_1/"+Media, func(info blob.Info) error {
		object, err := store.Open(t.Context(), info.Name)
		if err != nil {
			return err
		}
		defer object.Close()
		text, err := io.ReadAll(object)
		all[strings.TrimPrefix(info.Name, "assets/ast_1/"+Media)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What is recorded is what the window has, and its manifests say so.
func TestRecording(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]bool{"whole": false, "with a gap": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, store := cut(t, 40, broken), objects(t)
			result, err := of(g, store).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			files := folder(t, store)
			stored := int64(0)
			for _, text := range files {
				stored += int64(len(text))
			}
			want := Result{Start: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
			if result.Start.Sub(want.Start).Abs() > time.Millisecond || result.Duration < 39.9 || result.Duration > 40.1 || result.Stored != stored ||
				result.Prefix != "assets/ast_1/media/" || result.Files.HLS != "master.m3u8" || result.Files.DASH != "manifest.mpd" {
				t.Errorf("result %+v, %d bytes", result, stored)
			}
			if len(result.Renditions) != 1 || result.Renditions[0].Width != 640 || result.Renditions[0].FrameRate != 25 || len(result.Tracks) != 2 ||
				result.Tracks[1].SampleRate != 48000 || result.Tracks[1].Codec != "aac" {
				t.Errorf("renditions %+v, tracks %+v", result.Renditions, result.Tracks)
			}
			if len(result.Warnings) != map[bool]int{true: 1}[broken] {
				t.Errorf("warnings: %v", result.Warnings)
			}
			if got, want := strings.Count(files["manifest.mpd"], "<Period "), map[bool]int{false: 1, true: 2}[broken]; got != want {
				t.Errorf("%d periods, want %d:\n%s", got, want, files["manifest.mpd"])
			}
			for _, rendition := range []string{"video", "audio"} {
				checked, problems := hls.Check([]byte(files[rendition+"/media.m3u8"]), nil)
				for _, p := range problems {
					t.Errorf("%s: %v", rendition, p)
				}
				if !checked.Playlist.Ended {
					t.Errorf("%s does not end", rendition)
				}
				for _, s := range checked.Playlist.Segments {
					for _, name := range []string{s.URI, s.Map} {
						f, err := g.Open(t.Context(), rendition, name)
						if err != nil {
							t.Fatal(err)
						}
						text, err := io.ReadAll(f.Content)
						f.Close()
						if err != nil || string(text) != files[rendition+"/"+name] {
							t.Errorf("%s/%s is another one: %v", rendition, name, err)
						}
					}
				}
			}
		})
	}
}

// flaky is a store that fails, and is stopped, at will.
type flaky struct {
	blob.Store
	mu   sync.Mutex
	puts int
	fail func(n int, name string) error
}

func (f *flaky) Put(ctx context.Context, name string, r io.Reader) (blob.Info, error) {
	f.mu.Lock()
	f.puts++
	err := f.fail(f.puts, name)
	f.mu.Unlock()
	if err != nil {
		return blob.Info{}, err
	}
	return f.Store.Put(ctx, name, r)
}

// A recording that is stopped anywhere is gone on with by another process, to the same
// bytes.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	g, whole := cut(t, 70, true), objects(t)
	want, err := of(g, whole).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for stop := 1; ; stop += 5 {
		store := objects(t)
		ctx, kill := context.WithCancel(t.Context())
		f := &flaky{Store: store, fail: func(n int, _ string) error {
			if n >= stop {
				kill()
				return errors.New("killed")
			}
			return nil
		}}
		_, err := of(g, f).Run(ctx)
		kill()
		got, again := of(g, store).Run(t.Context())
		if again != nil {
			t.Fatalf("stopped at %d: %v", stop, again)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("stopped at %d (-want +got):\n%s", stop, diff)
		}
		if diff := cmp.Diff(folder(t, whole), folder(t, store)); diff != "" {
			t.Errorf("stopped at %d, other files (-want +got):\n%.2000s", stop, diff)
		}
		if err == nil {
			return
		}
	}
}

// A store that is away is waited for, and told of.
func TestStoreIsAway(t *testing.T) {
	t.Parallel()
	g, store := cut(t, 20, false), objects(t)
	var r *Recording
	problems := 0
	f := &flaky{Store: store, fail: func(n int, _ string) error {
		if r.State().Problem != nil {
			problems++
		}
		if n > 3 && n < 9 {
			return fault.New(fault.Unavailable, "the store does not answer")
		}
		return nil
	}}
	r = of(g, f)
	result, err := r.Run(t.Context())
	if err != nil || result.Duration < 19.9 || r.State().Problem != nil || problems != 5 {
		t.Errorf("%v, %v, %d problems, %v", result, err, problems, r.State())
	}
}

// gone is a window that has lost segments.
type gone struct {
	*window.Group
	from, to int64
}

func (g gone) Open(ctx context.Context, rendition, name string) (*window.File, error) {
	for n := g.from; n <= g.to; n++ {
		if name == fmt.Sprintf("%d.m4s", n) {
			return nil, fault.New(fault.NotFound, "gone")
		}
	}
	return g.Group.Open(ctx, rendition, name)
}

// What left the window before it was copied is a gap, and is told of.
func TestLost(t *testing.T) {
	t.Parallel()
	g, store := cut(t, 40, false), objects(t)
	r := of(g, store)
	r.Source = gone{g, 103, 104}
	result, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files := folder(t, store)
	checked, problems := hls.Check([]byte(files["video/media.m3u8"]), nil)
	if len(problems) > 0 || strings.Count(files["video/media.m3u8"], "DISCONTINUITY\n") != 1 || strings.Contains(files["video/media.m3u8"], "103.m4s") {
		t.Errorf("%v\n%s", problems, files["video/media.m3u8"])
	}
	if n := len(checked.Playlist.Segments); n < 6 || len(result.Warnings) != 2 || result.Duration > 33 {
		t.Errorf("%d segments, %v", n, result)
	}
}

// Renditions that are made of a stream are recorded with it.
func TestSeveralRenditions(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	g, err := window.New(window.Options{Folder: root, First: 100})
	if err != nil {
		t.Fatal(err)
	}
	g.Plan(window.Plan{Rungs: []window.Rung{{Name: "180p", Width: 320, Height: 180, Bitrate: 300_000, Rate: timebase.R(25, 1)}}})
	tracks := []hub.Track{pictures()}
	source, rung := hub.New(hub.Limits{Units: 1 << 12, Bytes: 1 << 28}), hub.New(hub.Limits{Units: 1 << 12, Bytes: 1 << 28})
	source.Begin(tracks)
	rung.Begin(tracks)
	ended := make(chan error, 2)
	go func() { ended <- g.Run(t.Context(), source.Read()) }()
	go func() { ended <- g.RunRung(t.Context(), "180p", rung.Read()) }()
	for n := range int64(25 * 20) {
		u := hub.Unit{DTS: n * 3600, PTS: n * 3600, Key: n%50 == 0, Wall: time.Unix(1_800_000_000, n*40_000_000), Data: bytes.Repeat([]byte{byte(n)}, 400)}
		source.Write(u)
		rung.Write(u)
		switch n % 50 {
		case 0:
			pace(t, g, root, time.Duration(n)*time.Second/25)
		case 49:
			keepUp(t, g, "180p")
		}
	}
	source.End(nil)
	rung.End(nil)
	for range 2 {
		if err := <-ended; err != nil && !errors.Is(err, hub.ErrEnded) {
			t.Fatal(err)
		}
	}
	store := objects(t)
	result, err := of(g, store).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files := folder(t, store)
	if len(result.Renditions) != 2 || strings.Count(files["master.m3u8"], "#EXT-X-STREAM-INF") != 2 || strings.Count(files["manifest.mpd"], "<Representation ") != 2 ||
		strings.Count(files["manifest.mpd"], "<AdaptationSet ") != 1 {
		t.Errorf("%+v\n%s\n%s", result, files["master.m3u8"], files["manifest.mpd"])
	}
}

// What viewers see while nothing comes is no part of a recording.
func TestSlate(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	g, err := window.New(window.Options{Folder: root, First: 100})
	if err != nil {
		t.Fatal(err)
	}
	out := hub.New(hub.Limits{Units: 1 << 12, Bytes: 1 << 28})
	out.Begin([]hub.Track{pictures()})
	ended := make(chan error, 1)
	go func() { ended <- g.Run(t.Context(), out.Read()) }()
	for n := range int64(25 * 40) {
		still := n >= 250 && n < 600
		at := n * 3600
		out.Write(hub.Unit{DTS: at, PTS: at, Key: still || n%50 == 0, Still: still, Wall: time.Unix(1_800_000_000, n*40_000_000), Data: []byte{byte(n), 1, 2, 3}})
		if n%50 == 0 {
			pace(t, g, root, time.Duration(n)*time.Second/25)
		}
	}
	out.End(nil)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	store := objects(t)
	result, err := of(g, store).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := folder(t, store)["video/media.m3u8"]
	_, problems := hls.Check([]byte(list), nil)
	// Of 40 s, 14 are still.
	if math.Abs(result.Duration-26) > 0.001 || strings.Count(list, "DISCONTINUITY\n") != 1 || len(result.Warnings) != 1 || len(problems) > 0 {
		t.Errorf("%.1f s, %v, %v\n%s", result.Duration, result.Warnings, problems, list)
	}
}

// Where nothing came, or all of it is gone, there is no recording.
func TestNothing(t *testing.T) {
	t.Parallel()
	g, store := cut(t, 10, false), objects(t)
	r := of(g, store)
	r.Source = gone{g, 0, 200}
	if result, err := r.Run(t.Context()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("%v, %v", result, err)
	}
	r = of(g, store)
	r.Noted = func(context.Context, int64, State) error { return fault.New(fault.NotFound, "there is no asset") }
	if result, err := r.Run(t.Context()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("of an asset that is deleted: %v, %v", result, err)
	}
}

// An index that is damaged ends a recording; it makes nothing up.
func TestDamagedIndex(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"rows":[null]}`, `{"rows":[{"number":3}]}`} {
		g, store := cut(t, 10, false), objects(t)
		if _, err := store.Put(t.Context(), filepath.Join("assets/ast_1", Index, "00000000000000000101.json"), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := of(g, store).Run(t.Context()); !errors.Is(err, errNever) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
