package ingest

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"liuyun/internal/av/h264"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
)

// parameterSets are those of pictures of 1920 × 1080.
func parameterSets() (sequence, picture []byte) {
	return []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}, []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
}

// feeding is a feed and what comes out of it.
type feeding struct {
	*Feed
	t   *testing.T
	now time.Time
	out *hub.Reader
}

func newFeeding(t *testing.T) *feeding {
	out := hub.New(hub.DefaultLimits())
	f := &feeding{t: t, now: time.Unix(1_800_000_000, 0), out: out.Read()}
	f.connect(NewChannel(out, 0))
	return f
}

// connect has the encoder connect, and no other one with it.
func (f *feeding) connect(c *Channel) {
	f.Feed = c.Connect(f.now)
	c.Take(f.Feed)
}

// video sets up pictures; another level makes another configuration.
func (f *feeding) video(level byte) {
	f.t.Helper()
	sequence, picture := parameterSets()
	sequence[3] = level
	config, err := h264.Config([][]byte{sequence}, [][]byte{picture})
	if err == nil {
		err = f.Video(hub.H264, config)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *feeding) audio(config ...byte) {
	f.t.Helper()
	if err := f.Audio(hub.AAC, config); err != nil {
		f.t.Fatal(err)
	}
}

func (f *feeding) hear(at int64) {
	f.t.Helper()
	if err := f.Sound(Sound{Data: []byte{1}, PTS: at * ms, At: f.now}); err != nil {
		f.t.Fatal(err)
	}
}

// Configurations of sound.
func stereo48() []byte  { return []byte{0x11, 0x90} }
func stereo44() []byte  { return []byte{0x12, 0x10} }
func surround() []byte  { return []byte{0x11, 0xb0} }
func idr() []byte       { return []byte{0x65, 0x88} }
func following() []byte { return []byte{0x41, 0x9a} }

func (f *feeding) see(at int64, units ...[]byte) {
	f.t.Helper()
	if err := f.Picture(Picture{Units: units, DTS: at * ms, PTS: at * ms, At: f.now}); err != nil {
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

// items takes what has come out.
func (f *feeding) items() (all []hub.Item) {
	ctx, cancel := context.WithCancel(f.t.Context())
	cancel()
	for {
		item, err := f.out.Next(ctx)
		if err != nil {
			return all
		}
		all = append(all, item)
	}
}

// split reads units in hexadecimal, apart by spaces.
func split(t testing.TB, text string) (units [][]byte) {
	t.Helper()
	for _, field := range strings.Fields(text) {
		unit, err := hex.DecodeString(field)
		if err != nil {
			t.Fatal(err)
		}
		units = append(units, unit)
	}
	return units
}

func hexed(data []byte) string { return hex.EncodeToString(data) }

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
	f.see(0, idr()) // sound may yet be set up
	f.see(40, following())
	f.want("")
	f.audio(stereo48()...)
	f.see(80, idr())
	f.hear(80)
	f.want("T2Ka")
	if f.meter.drops != 2 {
		t.Errorf("%d drops, want the first two pictures", f.meter.drops)
	}
}

func TestFeedPicturesAlone(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.see(0, idr())
	f.now = f.now.Add(patience)
	f.see(2000, idr())
	f.see(2040, following())
	f.want("T1Kp")
	f.audio(stereo48()...) // it comes all the same
	f.hear(2080)
	f.see(2080, following())
	f.see(2120, idr())
	f.hear(2120)
	f.want("pT2Ka")
}

func TestFeedSoundAlone(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.audio(stereo44()...)
	f.hear(0)
	f.want("")
	f.noPictures = true
	f.hear(23)
	f.hear(46)
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
	f.see(0, idr())
	f.want("T2K")
	f.video(0x28)
	f.audio(stereo48()...)
	f.see(40, idr())
	f.want("K")
	f.video(0x29)
	f.see(80, following()) // refers to what is no longer there
	f.see(120, idr())
	f.want("T2K")
	f.audio(stereo44()...)
	f.hear(150) // of the next period
	f.see(160, following())
	f.see(200, idr())
	f.hear(200)
	f.want("pT2Ka")

	f.connect(f.channel)
	f.video(0x29)
	f.audio(stereo44()...)
	f.see(9000, following())
	f.see(9040, idr())
	f.want("K")
}

// In-band parameter sets count as those of the header do.
func TestFeedInBand(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.noSound = true
	f.video(0x28)
	f.see(0, idr())
	f.want("T1K")
	sequence, picture := parameterSets()
	f.see(40, sequence, picture, idr())
	f.want("K")
	sequence[3] = 0x29
	f.see(80, sequence, picture, idr())
	f.want("T1K")
}

func TestFeedSilence(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.audio(stereo48()...)
	f.see(0, idr())
	f.hear(0)
	f.hear(21)
	f.hear(150)
	f.want("T2Kaa.....a")
	if f.meter.silence != 5 {
		t.Errorf("%d frames of silence are counted", f.meter.silence)
	}
	other := newFeeding(t)
	other.video(0x28)
	other.audio(surround()...)
	other.see(0, idr())
	other.hear(0)
	other.hear(150)
	other.want("T2Kaa") // no silence is known for this
}

func TestFeedEndless(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.noSound = true
	f.video(0x28)
	f.see(0, idr())
	f.now = f.now.Add(endless)
	if err := f.Picture(Picture{Units: [][]byte{following()}, DTS: 30_000 * ms, PTS: 30_000 * ms, At: f.now.Add(1)}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no key frame for %s: %v", endless, err)
	}
	f.channel.Endless = true
	f.see(30_040, following())
	f.want("T1Kp")
}

func TestFeedNonsense(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	if err := f.Audio(hub.AAC, []byte{0xff}); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("nonsense for a configuration: %v", err)
	}
	f.video(0x28)
	f.audio(stereo48()...)
	f.see(0, []byte{})
	f.Sound(Sound{At: f.now})
	f.see(0, idr())
	f.see(40, []byte{6, 5}) // no picture in it
	f.want("T2K")
	if f.meter.drops != 2 {
		t.Errorf("%d drops, want 2", f.meter.drops)
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	m := newMeter()
	for range 5 {
		m.now.bytes, m.now.pictures, m.now.jumps = 125_000, 25, 1
		m.noteDrift(-30 * time.Millisecond)
		m.noteDrift(-5 * time.Millisecond)
		m.tick(time.Second)
	}
	m.noteKey(2 * Timescale)
	m.noteKey(5 * Timescale)
	m.since = 6 * Timescale
	r := m.report()
	if r.Bitrate != 1_000_000 || r.FPS != 25 || r.Drift != -5*time.Millisecond || r.Jumps != 5 || r.KeyInterval != 6*time.Second || !r.Irregular || r.KeyShortest != 2*time.Second {
		t.Errorf("report %+v", r)
	}
	for range 5 {
		m.now.silence = 1
		m.tick(time.Second)
	}
	if r := m.report(); r.Pictures != 0 || r.Silence != 5 || r.Jumps != 0 {
		t.Errorf("report %+v", r)
	}
}
