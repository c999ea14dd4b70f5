package live

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/window"
)

// kitchens is a maker whose children do nothing until they are ended.
type kitchens struct {
	mu      sync.Mutex
	running []string // what is made now
	plans   []ffmpeg.Live
}

func (k *kitchens) RunLive(ctx context.Context, l ffmpeg.Live, _ func(context.Context, func(ffmpeg.LiveUnit) error) error) (ffmpeg.Usage, error) {
	name := "pictures"
	if l.Sound != nil {
		name = l.Sound.Codec
	}
	k.mu.Lock()
	k.running, k.plans = append(k.running, name), append(k.plans, l)
	k.mu.Unlock()
	<-ctx.Done()
	k.mu.Lock()
	k.running = slices.DeleteFunc(k.running, func(n string) bool { return n == name })
	k.mu.Unlock()
	return ffmpeg.Usage{}, ctx.Err()
}

func (k *kitchens) now() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.running, " ")
}

func newTestWindow(t *testing.T) *window.Group {
	t.Helper()
	group, err := window.New(window.Options{Folder: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return group
}

// newTestSession is a session whose stream nobody cuts.
func newTestSession(t *testing.T, k *kitchens, names ...string) (l *session, end func()) {
	t.Helper()
	l = &session{group: newTestWindow(t), source: hub.New(hub.DefaultLimits()), log: slog.New(slog.DiscardHandler)}
	l.channel = ingest.NewChannel(l.source, 0)
	l.renditions = newRenditions(l, k, names, adaptOff)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { l.renditions.run(ctx) })
	return l, func() {
		cancel()
		running.Wait()
	}
}

func opusTracks() []hub.Track {
	return []hub.Track{{Codec: hub.H264, Clock: 90000, Width: 1280, Height: 720}, {Codec: hub.Opus, Clock: 48000, Channels: 2}}
}

func aacTracks() []hub.Track {
	return []hub.Track{{Codec: hub.H264, Clock: 90000, Width: 1280, Height: 720}, {Codec: hub.AAC, Clock: 48000, Channels: 2}}
}

// Opus is made once for all who ask, and for a while after the last.
func TestOpusIsMadeOnDemand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var k kitchens
		l, end := newTestSession(t, &k)
		defer end()
		l.source.Begin(aacTracks())
		l.source.Write(hub.Unit{Key: true, Data: []byte{1}})
		synctest.Wait()
		if k.now() != "" {
			t.Errorf("%s is made, and nobody asks", k.now())
		}
		first, leaveFirst, err := l.renditions.sound(t.Context())
		second, leaveSecond, err2 := l.renditions.sound(t.Context())
		if err != nil || err2 != nil || first != second || first == l.source {
			t.Fatalf("got %v, %v, %v, %v, want one stream of its own", first, second, err, err2)
		}
		leaveFirst()
		leaveFirst() // once is enough
		time.Sleep(2 * linger)
		if k.now() != "opus" {
			t.Errorf("%q is made while one still listens", k.now())
		}
		leaveSecond()
		time.Sleep(linger / 2)
		_, leave, _ := l.renditions.sound(t.Context())
		time.Sleep(linger)
		if k.now() != "opus" {
			t.Errorf("%q is made though somebody came back", k.now())
		}
		leave()
		time.Sleep(linger + time.Second)
		if k.now() != "" {
			t.Errorf("%s is made for nobody", k.now())
		}
	})
}

// AAC is made of Opus from the first period on, which is before anybody has looked how
// the stream goes.
func TestAACFromTheBeginning(t *testing.T) {
	t.Parallel()
	for want, tracks := range map[string][]hub.Track{"aac": opusTracks(), "": aacTracks()} {
		t.Run("makes "+want, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var k kitchens
				l, end := newTestSession(t, &k)
				defer end()
				synctest.Wait()
				l.source.Begin(tracks)
				l.source.Write(hub.Unit{Key: true, Data: []byte{1}})
				synctest.Wait()
				if k.now() != want {
					t.Errorf("%q is made", k.now())
				}
			})
		})
	}
}

// Where the source has Opus, that is it; and AAC is made of it once.
func TestOpusOfTheSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var k kitchens
		l, end := newTestSession(t, &k)
		defer end()
		l.source.Begin(opusTracks())
		l.source.Write(hub.Unit{Key: true, Data: []byte{1}})
		got, leave, err := l.renditions.sound(t.Context())
		if err != nil || got != l.source {
			t.Errorf("got %v, %v, want the source", got, err)
		}
		leave()
		synctest.Wait()
		for range 3 {
			l.renditions.look(&StreamHealth{AudioCodec: "opus"})
		}
		synctest.Wait()
		if k.now() != "aac" {
			t.Errorf("%q is made, want aac", k.now())
		}
	})
}

func TestOpusOfNothing(t *testing.T) {
	t.Parallel()
	var k kitchens
	l, end := newTestSession(t, &k)
	defer end()
	l.source.Begin(aacTracks()[:1])
	l.source.Write(hub.Unit{Key: true, Data: []byte{1}})
	if _, _, err := l.renditions.sound(t.Context()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("without sound: got %v, want not found: WebRTC then goes without", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l, endSilent := newTestSession(t, &k)
	defer endSilent()
	if _, _, err := l.renditions.sound(ctx); fault.CodeOf(err) != fault.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("before it has begun: got %v, want unavailable", err)
	}
}

// What cannot be passed on is replaced, where there is a ladder, and stays so.
func TestRepair(t *testing.T) {
	t.Parallel()
	far := []StreamProblem{{Code: "key_frames", Message: "key frames are far apart"}}
	changes := []StreamProblem{{Code: "format_changes", Message: "it changes"}}
	for _, test := range []struct {
		name     string
		ladder   []string
		problems [][]StreamProblem
		want     string // why it is replaced
	}{
		{"nothing is wrong", []string{"360p"}, [][]StreamProblem{{}, {{Code: "loss"}}}, ""},
		{"no ladder", nil, [][]StreamProblem{far, far}, ""},
		{"key frames", []string{"360p"}, [][]StreamProblem{far, {}}, "key frames are far apart"},
		{"one change", []string{"360p"}, [][]StreamProblem{changes, {}}, ""},
		{"many changes", []string{"360p"}, [][]StreamProblem{changes, {}, changes}, "it changes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var k kitchens
				l, end := newTestSession(t, &k, test.ladder...)
				defer end()
				l.source.Begin(aacTracks())
				for n := range int64(20) {
					l.source.Write(hub.Unit{DTS: n * 3600, PTS: n * 3600, Key: n == 0, Data: []byte{1}})
				}
				synctest.Wait()
				var h *StreamHealth
				for _, problems := range test.problems {
					h = &StreamHealth{Problems: slices.Clone(problems)}
					l.renditions.look(h)
				}
				synctest.Wait()
				told := slices.ContainsFunc(h.Problems, func(p StreamProblem) bool {
					return p.Code == "transcoded" && strings.HasSuffix(p.Message, "because "+test.want)
				})
				if told != (test.want != "") || l.channel.Endless != told {
					t.Errorf("problems: %+v, endless is %v", h.Problems, l.channel.Endless)
				}
				if test.ladder == nil {
					return
				}
				last := k.plans[len(k.plans)-1]
				if whole := len(last.Pictures) == 2 && last.Keys == ownKeys; whole != told || (!told && last.Keys != 0) {
					t.Errorf("made: %+v", last)
				}
			})
		})
	}
}

func TestLevelCode(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{"3": "1e", "3.1": "1f", "4": "28", "5.2": "34"} {
		if got := levelCode(level); got != want {
			t.Errorf("%s: got %s, want %s", level, got, want)
		}
	}
}
