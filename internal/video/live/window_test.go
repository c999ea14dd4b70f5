package live

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/store"
	"liuyun/internal/testkit"
)

// over makes a stream that was on air for so many seconds, up to now.
func (c *cloud) over(t *testing.T, seconds int64) (stream string) {
	t.Helper()
	made, _ := c.call(t, writer, 201, "POST", "/v1/streams", `{}`)
	g, done, err := c.openWindow(made.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	source := hub.New(hub.Limits{Units: 1 << 14, Bytes: 1 << 30})
	source.Begin([]hub.Track{{
		Codec: hub.H264, Clock: 90000, Width: 640, Height: 360, Rate: timebase.R(25, 1),
		Config: []byte{1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xee, 0xfd, 0xf8, 0xf8, 0},
	}})
	ended := make(chan error)
	go func() { ended <- g.Run(t.Context(), source.Read()) }()
	began := time.Now().Add(-time.Duration(seconds) * time.Second)
	for n := range 25 * seconds {
		source.Write(hub.Unit{
			DTS: n * 3600, PTS: n * 3600, Key: n%50 == 0, Wall: began.Add(time.Duration(n) * time.Second / 25), Data: bytes.Repeat([]byte{byte(n)}, 400),
		})
		if n == 1 { // who begins to read later does so with the newest key frame
			testkit.Until(t, time.Minute, "a segment is open", func() bool { open, next := g.Next(); return open < next })
		}
	}
	source.End(nil)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// age makes what a stream has left older.
func (c *cloud) age(t *testing.T, stream string, by time.Duration) {
	t.Helper()
	at := time.Now().Add(-by)
	if err := os.Chtimes(filepath.Join(c.windowFolder(stream), "video"), at, at); err != nil {
		t.Fatal(err)
	}
}

// get asks as a viewer does.
func (c *cloud) get(stream, file string) (status int, body []byte) {
	w := httptest.NewRecorder()
	c.Play().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/play/"+stream+"/"+file, nil))
	return w.Code, w.Body.Bytes()
}

// segments are those of a stream that is over, each with its bytes.
func (c *cloud) segments(t *testing.T, stream string) (all []string) {
	t.Helper()
	status, text := c.get(stream, "video/media.m3u8")
	list, problems := hls.Check(text, nil)
	if status != http.StatusOK || len(problems) > 0 || !list.Playlist.Ended {
		t.Fatalf("%d, %v:\n%s", status, problems, text)
	}
	for _, s := range list.Playlist.Segments {
		status, data := c.get(stream, "video/"+s.URI)
		if status != http.StatusOK || len(data) == 0 {
			t.Errorf("%s: %d, %d bytes", s.URI, status, len(data))
		}
		all = append(all, fmt.Sprintf("%s of %v, %x", s.URI, s.Duration, sha256.Sum256(data)))
	}
	return all
}

// openWindows is how many are in memory.
func (c *cloud) openWindows() (count int) {
	c.windowMu.Lock()
	defer c.windowMu.Unlock()
	return len(c.windows)
}

func (c *cloud) kept(stream string) bool {
	_, err := os.Stat(c.windowFolder(stream))
	return !errors.Is(err, fs.ErrNotExist)
}

// A window that nobody uses does not stay in memory, and is there when somebody asks.
func TestUnusedWindowIsClosed(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	stream := c.over(t, 13)
	want := c.segments(t, stream)
	last := time.Now()
	c.closeWindows(last.Add(openFor - time.Minute))
	if c.openWindows() != 1 {
		t.Error("it was closed too soon")
	}
	g, done, err := c.findWindow(stream)
	if err != nil {
		t.Fatal(err)
	}
	c.closeWindows(last.Add(24 * time.Hour))
	if again, leave, err := c.openWindow(stream); err != nil || again != g {
		t.Errorf("it is another one while it is in use, %v", err)
	} else {
		leave()
	}
	done()
	c.closeWindows(time.Now().Add(openFor))
	if n := c.openWindows(); n != 0 {
		t.Errorf("%d windows are open that nobody uses", n)
	}
	got := c.segments(t, stream)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("opened again, it has other segments (-want +got):\n%s", diff)
	}
	if n := c.openWindows(); n != 1 {
		t.Errorf("%d windows are open, want the one that was asked for", n)
	}
}

// However many streams are asked for, few windows stay open: the newest.
func TestOpenWindowsAreBounded(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.Config.Window = 7 * 24 * time.Hour
	var streams []string
	for range 3 * c.mostUnused() {
		streams = append(streams, c.over(t, 2))
	}
	for range 2 {
		for _, stream := range streams {
			c.segments(t, stream)
			if n := c.openWindows(); n > c.mostUnused()+1 {
				t.Fatalf("%d windows are open, want %d at most, and one in use", n, c.mostUnused())
			}
		}
	}
	c.windowMu.Lock()
	defer c.windowMu.Unlock()
	if c.windows[streams[len(streams)-1]] == nil {
		t.Error("the one that was used last is not open")
	}
}

// Nobody has a window that is closed, or another one than others have.
func TestWindowsInUseStayOpen(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	stream := c.over(t, 5)
	var working, closing sync.WaitGroup
	var over atomic.Bool
	closing.Go(func() {
		for !over.Load() {
			c.closeWindows(time.Now().Add(time.Hour))
			c.deleteOver(context.Background(), time.Now())
		}
	})
	for range 4 {
		working.Go(func() {
			for range 100 {
				g, done, err := c.findWindow(stream)
				if err != nil {
					t.Error(err)
					return
				}
				again, leave, err := c.openWindow(stream)
				if err != nil || again != g {
					t.Errorf("two windows of one stream are in use, %v", err)
				}
				if _, err := g.Master(); err != nil {
					t.Error(err)
				}
				if err == nil {
					leave()
				}
				done()
			}
		})
	}
	working.Wait()
	over.Store(true)
	closing.Wait()
}

// A stream that is on air keeps its window, and an encoder that comes back has it again.
func TestSessionKeepsItsWindow(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	stream := c.over(t, 5)
	c.serve(t)
	c.closeWindows(time.Now().Add(time.Hour))
	rotated, _ := c.call(t, writer, 200, "POST", "/v1/streams/"+stream+"/keys", "")
	if _, err := c.push(t, rotated.Ingest.RTMP.Key); err != nil {
		t.Fatal(err)
	}
	c.reader(t, stream)
	l := c.current(stream)
	if window := l.group.Health().Window; window < 4*time.Second {
		t.Errorf("viewers can go back %v, want what was there", window)
	}
	c.age(t, stream, 30*24*time.Hour)
	c.closeWindows(time.Now().Add(time.Hour))
	if err := c.deleteOver(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
	g, done, err := c.findWindow(stream)
	if err != nil || g != l.group || !c.kept(stream) {
		t.Fatalf("the window of a stream on air was closed or deleted, %v", err)
	}
	done()
}

// What a stream that is over has left can be watched for as long as its window is, and
// an hour at least; then it is deleted.
func TestWhatIsOverIsDeleted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ window, over time.Duration }{{time.Minute, time.Hour}, {2 * time.Hour, 2 * time.Hour}} {
		c := newCloud(t)
		c.Config.Window = test.window
		newer, older, recorded, empty := c.over(t, 5), c.over(t, 5), c.over(t, 5), "str_00000000000000000000000000"
		c.age(t, newer, test.over-time.Minute)
		c.age(t, older, test.over+time.Minute)
		c.age(t, recorded, test.over+time.Minute)
		if err := os.Mkdir(c.windowFolder(empty), 0o700); err != nil {
			t.Fatal(err)
		}
		row := &recording{Asset: "ast_1", Stream: recorded, Tenant: "ten_a", Node: "nod_1", Started: time.Now()}
		if err := c.DB.Write(t.Context(), func(tx *store.Tx) error { return insertRecording(tx, row) }); err != nil {
			t.Fatal(err)
		}
		c.segments(t, older) // it is watched to the end
		if err := c.deleteOver(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if !c.kept(newer) || c.kept(older) || !c.kept(recorded) || !c.kept(empty) {
			t.Errorf("window of %v: the newer is there: %v, the older: %v, the recorded: %v, the empty: %v",
				test.window, c.kept(newer), c.kept(older), c.kept(recorded), c.kept(empty))
		}
		c.segments(t, newer)
		if status, body := c.get(older, "video/media.m3u8"); status != http.StatusServiceUnavailable {
			t.Errorf("what is deleted is answered with %d %s", status, body)
		}
		if err := c.deleteOver(t.Context(), time.Now().Add(2*test.over)); err != nil {
			t.Fatal(err)
		}
		if c.kept(newer) || c.kept(empty) || !c.kept(recorded) {
			t.Error("later something is there still, or the recorded is not")
		}
	}
}

// A server that starts deletes what was over long before.
func TestWhatIsOverIsDeletedAfterARestart(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	stream := c.over(t, 5)
	c.age(t, stream, 30*24*time.Hour)
	c.Service = New(c.Deps)
	c.serve(t)
	testkit.Until(t, time.Minute, "it is gone", func() bool { return !c.kept(stream) })
}

// keeper keeps recordings: it counts them, and can fail.
type keeper struct {
	begun  atomic.Int64
	broken atomic.Bool
}

func (k *keeper) Begin(*store.Tx, Recorded) (asset, folder string, err error) {
	if k.broken.Load() {
		return "", "", fault.New(fault.StorageFull, "no room")
	}
	asset = fmt.Sprintf("ast_%d", k.begun.Add(1))
	return asset, asset + "/", nil
}

func (k *keeper) Grow(context.Context, string, int64) error { return nil }

func (k *keeper) End(*store.Tx, string, RecordingEnd) error { return nil }

// slowStore stores nothing until it may.
type slowStore struct {
	blob.Store
	may chan struct{}
}

func (s *slowStore) Put(ctx context.Context, name string, r io.Reader) (blob.Info, error) {
	select {
	case <-s.may:
		return s.Store.Put(ctx, name, r)
	case <-ctx.Done():
		return blob.Info{}, ctx.Err()
	}
}

// However many clips are asked for at once, no more are made than may be, and one that
// was not begun takes no place.
func TestClipsAreBounded(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	objects, err := blob.NewFS(t.TempDir(), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	assets, slow := &keeper{}, &slowStore{objects, make(chan struct{})}
	c.Assets, c.Objects = assets, slow
	c.serve(t)
	stream := c.over(t, 13)
	var made, refused atomic.Int64
	ask := func() {
		r := httptest.NewRequest(http.MethodPost, "/v1/streams/"+stream+"/clips", strings.NewReader(`{"last":600}`))
		r.Header.Set("Authorization", "Bearer "+writer)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if c.api.ServeHTTP(w, r); w.Code == http.StatusAccepted {
			made.Add(1)
		} else {
			refused.Add(1)
		}
	}
	assets.broken.Store(true)
	for range mostClips + 4 {
		ask()
	}
	if made.Load() != 0 {
		t.Errorf("%d clips were made where there is no room", made.Load())
	}
	assets.broken.Store(false)
	refused.Store(0)
	var asking sync.WaitGroup
	held, release := make(chan struct{}), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	holding := sync.OnceFunc(func() { close(held) })
	asking.Go(func() {
		c.DB.Write(context.Background(), func(*store.Tx) error { holding(); <-release; return nil })
	})
	<-held // nobody begins a clip now, so that all who may are at it
	for range 4 * mostClips {
		asking.Go(ask)
	}
	const want = 3 * mostClips
	testkit.Until(t, time.Minute, "all but those who may are refused", func() bool { return refused.Load() >= want })
	free()
	asking.Wait()
	if made.Load() != mostClips || refused.Load() != want {
		t.Errorf("%d clips are made at once, want %d; %d were refused", made.Load(), mostClips, refused.Load())
	}
	c.age(t, stream, 30*24*time.Hour)
	c.closeWindows(time.Now().Add(time.Hour))
	if err := c.deleteOver(t.Context(), time.Now()); err != nil || c.openWindows() != 1 || !c.kept(stream) {
		t.Errorf("clips are stored, and their window is closed or deleted, %v", err)
	}
	close(slow.may)
	testkit.Until(t, time.Minute, "the clips are ready", func() bool {
		c.recordMu.Lock()
		defer c.recordMu.Unlock()
		return len(c.clips) == 0
	})
	if ask(); made.Load() != mostClips+1 {
		t.Error("there is room, and no clip is made")
	}
}
