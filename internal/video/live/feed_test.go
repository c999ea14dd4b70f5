package live

import (
	"context"
	"testing"
	"time"

	"liuyun/internal/av/h264"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
)

// feeding is a feed and what comes out of it.
type feeding struct {
	*feed
	t   *testing.T
	now time.Time
	out *hub.Reader
}

func newFeeding(t *testing.T) *feeding {
	c := &channel{out: hub.New(hubLimits()), clock: newClock(0)}
	f := &feeding{t: t, now: time.Unix(1_800_000_000, 0), out: c.out.Read()}
	f.feed = newFeed(c, "test", f.now)
	return f
}

// video sets up pictures; another level makes another configuration.
func (f *feeding) video(level byte) {
	f.t.Helper()
	sequence, picture := parameterSets()
	sequence[3] = level
	config, err := h264.Config([][]byte{sequence}, [][]byte{picture})
	if err == nil {
		err = f.setPicture(config, 4)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *feeding) audio(config ...byte) {
	f.t.Helper()
	if err := f.setSound(config); err != nil {
		f.t.Fatal(err)
	}
}

// Configurations of sound.
func stereo48() []byte  { return []byte{0x11, 0x90} }
func stereo44() []byte  { return []byte{0x12, 0x10} }
func surround() []byte  { return []byte{0x11, 0xb0} }
func idr() []byte       { return []byte{0, 0, 0, 2, 0x65, 0x88} }
func following() []byte { return []byte{0, 0, 0, 2, 0x41, 0x9a} }

func (f *feeding) picture(ms uint32, data []byte) {
	f.t.Helper()
	if err := f.putPicture(data, ms, 0, f.now); err != nil {
		f.t.Fatal(err)
	}
	f.now = f.now.Add(40 * time.Millisecond)
}

// all takes what has come out: "T" and the number of tracks, K for a key frame, p for
// another picture, a for sound, . for silence.
func (f *feeding) all() (text string) {
	ctx, cancel := context.WithCancel(f.t.Context())
	cancel()
	var tracks []hub.Track
	for {
		item, err := f.out.Next(ctx)
		switch {
		case err != nil:
			return text
		case item.Tracks != nil:
			tracks = item.Tracks
			text += "T" + string(rune('0'+len(tracks)))
		case tracks == nil && item.Unit.Track == 0 && item.Unit.Key, tracks != nil && tracks[item.Unit.Track].Codec.Video() && item.Unit.Key:
			text += "K"
		case len(item.Unit.Data) == 9:
			text += "."
		case item.Unit.Key:
			text += "a"
		default:
			text += "p"
		}
	}
}

func (f *feeding) want(want string) {
	f.t.Helper()
	if got := f.all(); got != want {
		f.t.Errorf("out comes %s, want %s", got, want)
	}
}

func TestFeedWaitsForBoth(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.picture(0, idr()) // sound may yet be set up
	f.picture(40, following())
	f.want("")
	f.audio(stereo48()...)
	f.picture(80, idr())
	f.putSound([]byte{1}, 80, f.now)
	f.want("T2Ka")
	if f.meter.drops != 2 {
		t.Errorf("%d drops, want the first two pictures", f.meter.drops)
	}
}

func TestFeedPicturesAlone(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.picture(0, idr())
	f.now = f.now.Add(patience)
	f.picture(2000, idr())
	f.picture(2040, following())
	f.want("T1Kp")
	f.audio(stereo48()...) // it comes all the same
	f.putSound([]byte{1}, 2080, f.now)
	f.picture(2080, following())
	f.picture(2120, idr())
	f.putSound([]byte{1}, 2120, f.now)
	f.want("pT2Ka")
}

func TestFeedSoundAlone(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.audio(stereo44()...)
	f.putSound([]byte{1}, 0, f.now)
	f.want("")
	f.noPictures = true
	f.putSound([]byte{1}, 23, f.now)
	f.putSound([]byte{1}, 46, f.now)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if item, err := f.out.Next(ctx); err != nil || len(item.Tracks) != 1 || item.Tracks[0].Clock != 44100 {
		t.Errorf("%+v, %v", item, err)
	}
}

// A change of what decoders are set up with is a period, and only that is.
func TestFeedPeriods(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.audio(stereo48()...)
	f.picture(0, idr())
	f.want("T2K")
	f.video(0x28)
	f.audio(stereo48()...)
	f.picture(40, idr())
	f.want("K")
	f.video(0x29)
	f.picture(80, following()) // refers to what is no longer there
	f.picture(120, idr())
	f.want("T2K")
	f.audio(stereo44()...)
	f.putSound([]byte{1}, 150, f.now) // of the next period
	f.picture(160, following())
	f.picture(200, idr())
	f.putSound([]byte{1}, 200, f.now)
	f.want("pT2Ka")

	again := newFeed(f.channel, "test", f.now)
	f.feed = again
	f.video(0x29)
	f.audio(stereo44()...)
	f.picture(9000, following())
	f.picture(9040, idr())
	f.want("K")
}

// In-band parameter sets count as those of the header do.
func TestFeedInBand(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.noSound = true
	f.video(0x28)
	f.picture(0, idr())
	f.want("T1K")
	sequence, picture := parameterSets()
	withSets := func(level byte) (data []byte) {
		sequence[3] = level
		for _, unit := range [][]byte{sequence, picture, {0x65, 0x88}} {
			data = append(append(data, 0, 0, 0, byte(len(unit))), unit...)
		}
		return data
	}
	f.picture(40, withSets(0x28))
	f.want("K")
	f.picture(80, withSets(0x29))
	f.want("T1K")
}

func TestFeedSilence(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.audio(stereo48()...)
	f.picture(0, idr())
	f.putSound([]byte{1}, 0, f.now)
	f.putSound([]byte{1}, 21, f.now)
	f.putSound([]byte{1}, 150, f.now)
	f.want("T2Kaa.....a")
	if f.meter.silence != 5 {
		t.Errorf("%d frames of silence are counted", f.meter.silence)
	}
	other := newFeeding(t)
	other.video(0x28)
	other.audio(surround()...)
	other.picture(0, idr())
	other.putSound([]byte{1}, 0, other.now)
	other.putSound([]byte{1}, 150, other.now)
	other.want("T2Kaa") // no silence is known for this
}

func TestFeedEndless(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.noSound = true
	f.video(0x28)
	f.picture(0, idr())
	f.now = f.now.Add(endless)
	if err := f.putPicture(following(), 30_000, 0, f.now); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no key frame for %s: %v", endless, err)
	}
}

func TestFeedNonsense(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	if err := f.setSound([]byte{0xff}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("nonsense for a configuration: %v", err)
	}
	f.video(0x28)
	f.audio(stereo48()...)
	f.picture(0, []byte{0, 0, 0, 9, 1})
	f.putSound(nil, 0, f.now)
	f.picture(0, idr())
	f.picture(40, []byte{0, 0, 0, 2, 6, 5}) // no picture in it
	f.want("T2K")
	if f.meter.drops != 2 {
		t.Errorf("%d drops, want 2", f.meter.drops)
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	m := meter{video: true}
	m.tick(0)
	m.filled = 0
	for range 5 {
		m.now.bytes, m.now.pictures = 125_000, 25
		m.noteDrift(-30 * time.Millisecond)
		m.noteDrift(-5 * time.Millisecond)
		m.tick(time.Second)
	}
	h := m.report(noWindow())
	if h.Bitrate != 1_000_000 || h.FPS != 25 || h.Drift != -0.005 || len(h.Problems) != 0 {
		t.Errorf("health %+v", h)
	}
	for range 5 {
		m.now.silence, m.now.jumps = 1, 1
		m.tick(time.Second)
	}
	w := noWindow()
	w.SinceKey, w.Disk = 7*time.Second, fault.New(fault.StorageFull, "full")
	var codes []string
	for _, p := range m.report(w).Problems {
		codes = append(codes, p.Code)
	}
	if len(codes) != 5 {
		t.Errorf("problems %v, want all five", codes)
	}
}
