package hub

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func video() []Track { return []Track{{Codec: H264, Clock: 90000}, {Codec: AAC, Clock: 48000}} }

// picture is a unit of one byte that says which it is.
func picture(n byte, key bool) Unit {
	return Unit{DTS: int64(n) * 3600, PTS: int64(n) * 3600, Key: key, Data: []byte{n}}
}

// next takes what is there.
func next(t *testing.T, r *Reader) Item {
	t.Helper()
	item, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return item
}

func wantUnit(t *testing.T, r *Reader, n byte, lost bool) {
	t.Helper()
	item := next(t, r)
	if item.Tracks != nil || item.Unit.Data[0] != n || item.Lost != lost {
		t.Errorf("got %+v, want unit %d, lost %v", item, n, lost)
	}
}

func wantTracks(t *testing.T, r *Reader, n int, lost bool) {
	t.Helper()
	if item := next(t, r); len(item.Tracks) != n || item.Lost != lost {
		t.Errorf("got %+v, want %d tracks, lost %v", item, n, lost)
	}
}

func wantReady(t *testing.T, r *Reader, want bool) {
	t.Helper()
	if got := r.Ready(); got != want {
		t.Errorf("ready: %v, want %v", got, want)
	}
}

// A reader begins at the newest key frame, with the tracks before it.
func TestReaderBeginsAtAKeyFrame(t *testing.T) {
	t.Parallel()
	s := New(DefaultLimits())
	s.Begin(video())
	s.Write(picture(1, true))
	s.Write(picture(2, false))
	s.Write(Unit{Track: 1, Key: true, Data: []byte{100}}) // sound does not count beside pictures
	s.Write(picture(3, true))
	s.Write(picture(4, false))
	r := s.Read()
	wantReady(t, r, true)
	wantTracks(t, r, 2, false)
	wantUnit(t, r, 3, false)
	wantReady(t, r, true)
	wantUnit(t, r, 4, false)
	wantReady(t, r, false)
	s.Begin(video()[:1])
	s.Write(picture(5, true))
	wantTracks(t, r, 1, false)
	wantUnit(t, r, 5, false)
	s.End(nil)
	wantReady(t, r, true)
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("got %v, want the end", err)
	}
}

// A reader of everything begins with the first unit, unless that is gone.
func TestReadAll(t *testing.T) {
	t.Parallel()
	s := New(Limits{Units: 4, Bytes: 1 << 20})
	early, slow := s.ReadAll(), s.ReadAll()
	wantReady(t, early, false)
	s.Begin(video())
	for n := byte(1); n < 4; n++ {
		s.Write(picture(n, true))
	}
	wantTracks(t, early, 2, false)
	for n := byte(1); n < 4; n++ {
		wantUnit(t, early, n, false)
	}
	s.Write(picture(4, true)) // the first has to go
	wantUnit(t, early, 4, false)
	wantTracks(t, slow, 2, false)
	wantUnit(t, slow, 4, false)
}

// A reader that lags goes on at the newest key frame and is told so; another one
// does not notice.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]Limits{"units": {Units: 8, Bytes: 1 << 20}, "bytes": {Units: 100, Bytes: 8}} {
		s := New(limits)
		s.Begin(video())
		slow, quick := s.Read(), s.Read()
		s.Write(picture(0, true))
		wantTracks(t, slow, 2, false)
		wantTracks(t, quick, 2, false)
		wantUnit(t, slow, 0, false)
		wantUnit(t, quick, 0, false)
		for n := byte(1); n < 30; n++ {
			s.Write(picture(n, n%5 == 0))
			wantUnit(t, quick, n, false)
		}
		t.Log(name)
		wantUnit(t, slow, 25, true)
		wantUnit(t, slow, 26, false)
		late := s.Read()
		wantTracks(t, late, 2, false)
		wantUnit(t, late, 25, false)
	}
}

// Where the newest key frame was dropped, readers wait for the next one.
func TestGroupLargerThanTheLimits(t *testing.T) {
	t.Parallel()
	s := New(Limits{Units: 4, Bytes: 1 << 20})
	s.Begin(video())
	s.Write(picture(0, true))
	r := s.Read()
	wantTracks(t, r, 2, false)
	for n := byte(1); n < 10; n++ {
		s.Write(picture(n, false))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if item, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v, want to wait", item, err)
	}
	s.Write(picture(10, true))
	wantUnit(t, r, 10, true)
}

// A slow reader whose period has ended meanwhile is told the new tracks.
func TestSlowReaderOverAPeriod(t *testing.T) {
	t.Parallel()
	s := New(Limits{Units: 4, Bytes: 1 << 20})
	s.Begin(video())
	s.Write(picture(0, true))
	r := s.Read()
	wantTracks(t, r, 2, false)
	wantUnit(t, r, 0, false)
	s.Begin(video()[:1])
	for n := byte(1); n < 9; n++ {
		s.Write(picture(n, n == 7))
	}
	wantTracks(t, r, 1, true)
	wantUnit(t, r, 7, false)
}

// Readers that wait are woken, each by what is written or by the end.
func TestWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(DefaultLimits())
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				r := s.Read()
				wantTracks(t, r, 2, false)
				for n := range byte(3) {
					wantUnit(t, r, n, false)
				}
				if _, err := r.Next(t.Context()); err == nil || err.Error() != "gone" {
					t.Errorf("got %v, want the cause", err)
				}
			})
		}
		synctest.Wait()
		s.Begin(video())
		for n := range byte(3) {
			synctest.Wait()
			s.Write(picture(n, n == 0))
		}
		synctest.Wait()
		s.End(errors.New("gone"))
		readers.Wait()
	})
}

// A reader that is in no hurry gets all that has come at its next moment, and the end.
func TestEvery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const every = 50 * time.Millisecond
		s := New(DefaultLimits())
		s.Begin(video())
		s.Write(picture(0, true))
		r := s.Read().Every(every)
		wantTracks(t, r, 2, false)
		wantUnit(t, r, 0, false)
		begun := time.Now()
		go func() {
			time.Sleep(every / 5)
			s.Write(picture(1, false))
			time.Sleep(every / 5)
			s.Write(picture(2, false))
			time.Sleep(every / 5)
			s.End(nil)
		}()
		for n := range byte(2) {
			wantUnit(t, r, n+1, false)
			if waited := time.Since(begun); waited%every != 0 || waited > every {
				t.Errorf("unit %d came after %v", n+1, waited)
			}
		}
		if _, err := r.Next(t.Context()); !errors.Is(err, ErrEnded) {
			t.Errorf("got %v, want the end", err)
		}
		idle := New(DefaultLimits()).Read().Every(every)
		ctx, cancel := context.WithTimeout(t.Context(), 3*every)
		defer cancel()
		if _, err := idle.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that of the context", err)
		}
	})
}

// Writers and readers of several goroutines find nothing broken (with -race).
func TestHammer(t *testing.T) {
	t.Parallel()
	s := New(Limits{Units: 64, Bytes: 1 << 20})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			r, last := s.Read(), int64(-1)
			for {
				item, err := r.Next(t.Context())
				if err != nil {
					return
				}
				if item.Tracks == nil && item.Unit.DTS <= last {
					t.Errorf("unit %d after %d", item.Unit.DTS, last)
				}
				if item.Tracks == nil {
					last = item.Unit.DTS
				}
			}
		})
	}
	s.Begin(video())
	for n := range 20_000 {
		s.Write(Unit{DTS: int64(n), Key: n%25 == 0, Data: []byte{1}})
		if n%5000 == 4999 {
			s.Begin(video())
		}
	}
	s.End(nil)
	readers.Wait()
}

func TestWriteDoesNotAllocate(t *testing.T) {
	s := New(DefaultLimits())
	s.Begin(video())
	r := s.Read()
	u := picture(1, true)
	if n := testing.AllocsPerRun(1000, func() {
		s.Write(u)
		if _, err := r.Next(context.Background()); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a unit, want none", n)
	}
}
