package live

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"liuyun/internal/av/h264"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/window"
	"liuyun/internal/testkit"
)

// stage is a session whose stream nobody cuts, and what comes out of it, on a clock of its own.
type stage struct {
	*session
	t    *testing.T
	out  *hub.Reader
	now  time.Time
	dts  int64          // of the last picture
	keys map[*byte]bool // the bytes of key frames that were on air
}

func newStage(t *testing.T) *stage {
	source := hub.New(hub.DefaultLimits())
	l := &session{group: newTestWindow(t), wake: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler), source: source, channel: ingest.NewChannel(source, 0), slate: true, crowd: &audience{}, traffic: &traffic{}}
	l.channel.Offer = l.offer
	return &stage{session: l, t: t, out: source.Read(), now: time.Unix(1_800_000_000, 0), keys: make(map[*byte]bool)}
}

// actor is an encoder on the stage: 25 pictures a second, a key frame each second.
type actor struct {
	*input
	s       *stage
	name    byte // the last byte of its pictures
	stamp   int64
	count   int
	asked   int
	kicked  string
	quickly bool // it makes a key frame when it is asked
}

func (s *stage) enter(name byte, backup bool, level byte) *actor {
	s.t.Helper()
	a := &actor{s: s, name: name, stamp: int64(name) * 1_000_000}
	in, err := s.join(ingest.Connection{
		Protocol: "rtmp", Encoder: string(name), Backup: backup, Kick: func(why string) { a.kicked = why },
		Refresh: func() {
			a.asked++
			if a.quickly {
				a.count = 0
			}
		},
	}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	a.input = in
	if backup {
		a.count = 12 // its key frames are at other times
	}
	sequence, picture := parameterSets()
	sequence[3] = level
	config, err := h264.Config([][]byte{sequence}, [][]byte{picture})
	if err == nil {
		in.Expect(true, false)
		err = in.Video(hub.H264, config)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// send is one picture.
func (a *actor) send() {
	a.s.t.Helper()
	unit := []byte{0x41, 0x9a, a.name}
	if a.count%25 == 0 {
		unit = []byte{0x65, 0x88, a.name}
	}
	a.count++
	if err := a.Picture(ingest.Picture{Units: [][]byte{unit}, DTS: a.stamp, PTS: a.stamp, At: a.s.now}); err != nil {
		a.s.t.Fatal(err)
	}
	a.stamp += 3600
}

// play lets so much time pass, while encoders send.
func (s *stage) play(length time.Duration, sending ...*actor) {
	s.t.Helper()
	for end := s.now.Add(length); s.now.Before(end); s.now = s.now.Add(40 * time.Millisecond) {
		for _, a := range sending {
			a.send()
		}
		if s.now.UnixMilli()%200 == 0 {
			s.watch(s.now)
		}
	}
}

// seen is who was on air since the last call, each named once: T is a period, and a
// small letter a still picture of who has the large one. Time must go on without a jump.
func (s *stage) seen() (names string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	for {
		item, err := s.out.Next(ctx)
		if err != nil {
			return names
		}
		name := byte('T')
		if item.Tracks == nil {
			u := item.Unit
			if s.dts > 0 && (u.DTS <= s.dts || u.DTS > s.dts+21_600) {
				s.t.Errorf("a picture at %d ms follows one at %d ms", u.DTS/90, s.dts/90)
			}
			if len(names) > 0 && names[len(names)-1] == 'T' && !u.Key {
				s.t.Error("a period begins without a key frame")
			}
			still := s.keys[&u.Data[0]]
			if u.Key {
				s.keys[&u.Data[0]] = true
			}
			s.dts, name = u.DTS, u.Data[len(u.Data)-1]
			if still {
				name += 'a' - 'A'
			}
			if last := len(names) - 1; last >= 0 && names[last] != name && names[last] != 'T' && !u.Key {
				s.t.Errorf("%c goes on air without a key frame", name)
			}
		}
		if len(names) == 0 || names[len(names)-1] != name {
			names += string(name)
		}
	}
}

func (s *stage) want(want string, onAir OnAir) {
	s.t.Helper()
	if got := s.seen(); got != want {
		s.t.Errorf("on air were %s, want %s", got, want)
	}
	s.mu.Lock()
	h := s.health(window.Health{})
	s.mu.Unlock()
	var is OnAir
	if h != nil {
		is = h.OnAir
	}
	if is != onAir {
		s.t.Errorf("health says %q is on air, want %q", is, onAir)
	}
}

// Where a window has the end of what was before, a stream is not live before that goes on.
func TestLiveWhenTheWindowGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.group.End()
	cut := s.source.ReadAll()
	s.play(time.Second, s.enter('a', false, 31))
	if !s.watchable(s.now) || s.shown(s.now) {
		t.Error("a stream is shown whose playlists have their end")
	}
	ended := make(chan error)
	go func() { ended <- s.group.Run(t.Context(), cut) }()
	testkit.Until(t, time.Minute, "the window to go on", func() bool { return !s.group.Ended() })
	for len(s.wake) > 0 {
		<-s.wake
	}
	if s.watch(s.now); !s.shown(s.now) || len(s.wake) != 1 {
		t.Errorf("its window goes on: shown is %v, and %d look at it", s.shown(s.now), len(s.wake))
	}
	s.source.End(nil)
	if err := <-ended; err != nil || !s.group.Ended() {
		t.Errorf("%v, ended is %v", err, s.group.Ended())
	}
}

// The backup stands by, takes over within a moment, and hands back.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.enter('A', false, 0x28)
	b := s.enter('B', true, 0x28)
	s.play(5*time.Second, a, b)
	s.want("TA", "primary")

	a.Close()
	s.play(5*time.Second, b)
	s.want("aB", "backup")
	if b.asked == 0 {
		t.Error("the backup was not asked for a key frame")
	}

	a = s.enter('A', false, 0x28)
	s.play(2*time.Second, a, b)
	s.want("B", "backup") // not before the primary is steady
	s.play(5*time.Second, a, b)
	s.want("BA", "primary")

	s.play(1500*time.Millisecond, b) // the primary is there, and silent
	s.play(5*time.Second, b)
	s.want("aB", "backup")
	s.play(10*time.Second, a, b)
	s.want("BA", "primary")

	b.Close()
	s.play(2*time.Second, a)
	s.want("A", "primary")
}

// A backup that can make a key frame is on air as soon as the primary is gone.
func TestBackupAsked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a, b := s.enter('A', false, 0x28), s.enter('B', true, 0x28)
	b.quickly = true
	s.play(3*time.Second, a, b)
	s.want("TA", "primary")
	a.Close()
	s.play(400*time.Millisecond, b)
	if got := s.seen(); got != "B" && got != "aB" {
		t.Errorf("on air were %s", got)
	}
}

// Another configuration is another period, and it is said before.
func TestBackupDiffers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a, b := s.enter('A', false, 0x28), s.enter('B', true, 0x29)
	s.play(2*time.Second, a, b)
	s.want("TA", "primary")
	s.mu.Lock()
	h := s.health(window.Health{})
	s.mu.Unlock()
	if len(h.Inputs) != 2 || !h.Inputs[0].OnAir || h.Inputs[1].OnAir || h.Inputs[1].Role != "backup" || len(h.Problems) != 1 || h.Problems[0].Code != "backup_differs" {
		t.Errorf("health %+v", h)
	}
	a.Close()
	s.play(3*time.Second, b)
	s.want("aTB", "backup")
}

// While nobody sends, viewers see a still picture; who comes back goes on in its place.
func TestSlate(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	a := s.enter('A', false, 0x28)
	s.play(3*time.Second, a)
	s.want("TA", "primary")
	a.Close()
	s.play(20 * time.Second)
	s.want("a", "slate")
	a = s.enter('A', false, 0x28)
	s.play(2*time.Second, a)
	s.want("aA", "primary")
	if off := time.Duration(s.dts)*time.Second/90000 - 25*time.Second; off.Abs() > 500*time.Millisecond {
		t.Errorf("after 25 s the stream is %s off", off)
	}

	s.play(4 * time.Second) // it is there, and silent
	s.want("a", "slate")
	s.play(3*time.Second, a)
	s.want("A", "primary")

	s.slate = false
	a.Close()
	s.play(20 * time.Second)
	s.want("", "")
	a = s.enter('A', false, 0x28)
	s.play(2*time.Second, a)
	s.want("A", "primary")
}

// A second primary takes over from a silent one only.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.slate = false
	a := s.enter('A', false, 0x28)
	s.play(time.Second, a)
	s.want("TA", "primary")
	if _, err := s.join(ingest.Connection{Kick: func(string) {}}, s.now); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("a second encoder gets %v", err)
	}
	s.play(6 * time.Second)
	b := s.enter('B', false, 0x28)
	if a.kicked == "" {
		t.Error("the silent encoder was not told")
	}
	if err := a.Sound(ingest.Sound{At: s.now}); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("the silent encoder goes on: %v", err)
	}
	a.Close()
	s.play(time.Second, b)
	s.want("B", "primary")
	if s.retire() {
		t.Error("the session is over while an encoder is there")
	}
	b.Close()
	if !s.retire() {
		t.Error("the session goes on, and nobody is there")
	}
	if _, err := s.join(ingest.Connection{}, s.now); err != errClosing {
		t.Errorf("a session that is over answers %v", err)
	}
}
