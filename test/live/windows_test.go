package live

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"liuyun/internal/av/scte35"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/window"
	"liuyun/test/program"
)

// reel writes a stream into a window, as fast as that takes it: pictures and sound of
// which nothing is decoded.
type reel struct {
	t      *testing.T
	group  *window.Group
	folder string
	source *hub.Stream
	rung   *hub.Stream // nil while none is made
	frames int64
	sounds int64
	away   int64 // seconds for which nothing came
	making sync.WaitGroup
}

var reelBegins = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func reelPictures(width, height int) hub.Track {
	return hub.Track{
		Codec: hub.H264, Clock: 90000, Width: width, Height: height, Rate: timebase.R(25, 1),
		Config: []byte{1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xee, 0xfd, 0xf8, 0xf8, 0}, // one set of each kind
	}
}

// play writes so many seconds, two at a time: a stream is not sent faster than a disk
// writes.
func (r *reel) play(seconds int64) {
	r.t.Helper()
	for end := r.frames + 25*seconds; r.frames < end; {
		for range 50 {
			at := r.frames*3600 + r.away*90000
			u := hub.Unit{
				DTS: at, PTS: at + 3600, Key: r.frames%50 == 0, Wall: reelBegins.Add(time.Duration(at) * time.Second / 90000), Data: bytes.Repeat([]byte{byte(r.frames)}, 200),
			}
			r.source.Write(u)
			if r.rung != nil {
				r.rung.Write(u)
			}
			for r.frames++; r.sounds*1024 < r.frames*1920; r.sounds++ {
				dts := r.sounds*1024 + r.away*48000
				r.source.Write(hub.Unit{Track: 1, DTS: dts, PTS: dts, Key: true, Wall: u.Wall, Data: []byte{byte(r.sounds), 1, 2, 3}})
			}
		}
		sent := time.Duration(r.frames) * time.Second / 25
		if !program.Eventually(patience, func() bool {
			open, next := r.group.Next() // who begins to read does so with the newest key frame
			_, err := os.Stat(filepath.Join(r.folder, "video", fmt.Sprintf("%d.m4s", open-1)))
			return next > 100 && r.group.Health().Window >= sent-6*time.Second && (err == nil || open == 100)
		}) {
			r.t.Fatalf("the window has %v of %v", r.group.Health().Window, sent)
		}
	}
}

// serve answers with the playlists of a window, at the addresses that they name.
func serve(t *testing.T, g *window.Group) (master string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rendition, name, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		var answer window.Answer
		var err error
		switch {
		case !found:
			answer, err = g.Master()
		case name == "keys.m3u8":
			answer, err = g.Keys(r.Context(), rendition)
		default:
			answer, err = g.Playlist(r.Context(), rendition, window.Query{MSN: -1, Part: -1, Skip: r.URL.Query().Has("_HLS_skip")})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(answer.Text) // who does not get it has gone
	}))
	t.Cleanup(server.Close)
	return server.URL + "/master.m3u8"
}

// Parsers that are not ours read all that playlists can have: captions, markers and
// breaks, a rendition that comes, is missing and comes back, discontinuities, other sets
// of decoders, and the end.
func TestPlaylists(t *testing.T) {
	t.Parallel()
	r := &reel{t: t, folder: t.TempDir(), source: hub.New(hub.Limits{Units: 1 << 14, Bytes: 1 << 28})}
	var err error
	if r.group, err = window.New(window.Options{Folder: r.folder, First: 100}); err != nil {
		t.Fatal(err)
	}
	r.group.Plan(window.Plan{Rungs: []window.Rung{{Name: "180p", Width: 320, Height: 180, Bitrate: 300_000}}})
	sound := hub.Track{Codec: hub.AAC, Clock: 48000, Config: []byte{0x11, 0x90}, Channels: 2, Language: "en"}
	r.source.Begin([]hub.Track{reelPictures(640, 360), sound})
	ended, reader := make(chan error, 1), r.source.Read()
	go func() { ended <- r.group.Run(context.WithoutCancel(t.Context()), reader) }()
	master := serve(t, r.group)

	r.play(10)
	r.tell()
	stop := r.ladder()
	r.play(20)
	stop()
	r.play(16) // without the rendition
	stop = r.ladder()
	r.play(10)
	checkPlaylists(t, master)

	r.away = 60
	r.play(10)
	stop()
	r.source.Begin([]hub.Track{reelPictures(1280, 720), sound})
	r.play(40)
	checkPlaylists(t, master)

	r.source.End(nil)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	r.making.Wait()
	checkPlaylists(t, master)
	for name, all := range map[string][]string{
		"master":      {"TYPE=SUBTITLES", "TYPE=AUDIO", "#EXT-X-I-FRAME-STREAM-INF:", "\n180p/media.m3u8\n"},
		"video/media": {"SCTE35-OUT=", "SCTE35-IN=", `CLASS="score"`, "#EXT-X-DISCONTINUITY\n", `#EXT-X-MAP:URI="init100.mp4"`, "#EXT-X-ENDLIST\n"},
		"180p/media":  {"#EXT-X-GAP\n", "#EXT-X-DISCONTINUITY\n", "#EXT-X-ENDLIST\n"},
	} {
		text := string(playlistText(t, strings.Replace(master, "master", name, 1)))
		for _, want := range all {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s:\n%s", name, want, text)
			}
		}
	}
}

// tell has the window tell of captions, a marker and a break.
func (r *reel) tell() {
	r.t.Helper()
	at := reelBegins.Add(9 * time.Second)
	for _, c := range []window.Caption{{Language: "en"}, {Language: "zh-Hans"}, {Language: "en", Text: "<Hello> & welcome", At: reelBegins.Add(14 * time.Second)}} {
		if err := r.group.Caption(c); err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := r.group.Mark(window.Marker{ID: "goal \"1\"", Class: "score", At: at, Duration: time.Second}); err == nil {
		r.t.Error("an ID with quotes is taken, which no playlist can hold")
	}
	if _, err := r.group.Mark(window.Marker{ID: "goal", Class: "score", At: at, Duration: time.Second}); err != nil {
		r.t.Fatal(err)
	}
	for i, info := range []scte35.Info{{Kind: scte35.Out, Event: 7, Duration: 5 * time.Second}, {Kind: scte35.In, Event: 7}} {
		if _, err := r.group.SpliceAt(scte35.Insert(info), at.Add(5*time.Second*time.Duration(i))); err != nil {
			r.t.Fatal(err)
		}
	}
}

// ladder begins to make a rendition, until stop is called. It ends when the stream has
// come further: what is made of it is never ahead.
func (r *reel) ladder() (stop func()) {
	r.rung = hub.New(hub.Limits{Units: 1 << 14, Bytes: 1 << 28})
	r.rung.Begin([]hub.Track{reelPictures(320, 180)})
	reader := r.rung.Read()
	r.making.Go(func() {
		if err := r.group.RunRung(context.WithoutCancel(r.t.Context()), "180p", reader); err != nil {
			r.t.Error(err)
		}
	})
	return func() {
		r.rung.End(nil)
		r.rung = nil
	}
}
