package ingest

import (
	"strings"
	"testing"
	"time"

	"liuyun/internal/flow/hub"
)

// tones has sound come for the same time as pictures.
func (f *feeding) run(at, length int64, sound bool) {
	f.t.Helper()
	for end := at + length; at < end; at += 40 {
		unit := following()
		if at%1000 == 0 {
			unit = idr()
		}
		if sound {
			f.hear(at)
			f.hear(at + 21)
		}
		f.see(at, unit)
	}
}

// What is missing is filled up to now: pictures by the last key frame, sound by silence
// where that is missing too.
func TestHold(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.audio(stereo48()...)
	f.run(0, 1000, true)
	f.all()
	f.channel.Hold(f.now.Add(100*time.Millisecond), time.Second)
	f.want("")
	if f.channel.Holding() {
		t.Error("it holds at once")
	}
	f.now = f.now.Add(time.Second)
	f.channel.Hold(f.now, time.Second)
	text := f.all()
	if n := strings.Count(text, "K"); n != 5 {
		t.Errorf("%d still pictures come for a second: %s", n, text)
	}
	if n := strings.Count(text, "."); n < 44 || n > 49 || !f.channel.Holding() {
		t.Errorf("%d frames of silence come for a second: %s", n, text)
	}
	f.see(2000+40, following()) // what it refers to is no longer there
	f.want("")
	f.see(2000+80, idr())
	f.hear(2000 + 80)
	if text := strings.ReplaceAll(f.all(), ".", ""); text != "Ka" {
		t.Errorf("then comes %s", text)
	}
	if f.channel.Holding() {
		t.Error("it holds on")
	}
}

// Sound that goes on is heard while pictures are held.
func TestHoldPicturesOnly(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.audio(stereo48()...)
	f.run(0, 1000, true)
	f.all()
	for at := int64(1000); at < 3000; at += 20 {
		f.hear(at)
		f.now = f.now.Add(20 * time.Millisecond)
		f.channel.Hold(f.now, time.Second)
	}
	text := f.all()
	if strings.Contains(text, ".") || strings.Count(text, "a") < 85 || strings.Count(text, "K") < 8 {
		t.Errorf("out comes %s", text)
	}
}

// What comes late after a stall is no jump: it finds its place, and the stream is no
// later than before.
func TestLateAfterHold(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.noSound = true
	f.run(0, 1000, false)
	f.now = f.now.Add(1500 * time.Millisecond)
	f.channel.Hold(f.now, time.Second)
	start := f.now
	f.run(1000, 1480, false) // all that was on the way comes at once
	f.now = start
	f.run(2480, 2000, false)
	if jumps := f.report().Jumps; jumps != 0 {
		t.Errorf("%d jumps", jumps)
	}
	if late := f.channel.clock.head - 4440*ms; late < -backStep || late > backStep {
		t.Errorf("the stream is %d ms late", late/ms)
	}
}

func (f *feeding) report() Report {
	f.Tick(time.Second)
	return f.Report()
}

// A machine that slept does not fill the night.
func TestHoldAfterSleep(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.audio(stereo48()...)
	f.run(0, 1000, true)
	f.all()
	f.now = f.now.Add(8 * time.Hour)
	f.channel.Hold(f.now, time.Second)
	text := f.all()
	if n := strings.Count(text, "K"); n > 42 {
		t.Errorf("%d still pictures", n)
	}
	if n := strings.Count(text, "."); n > 380 {
		t.Errorf("%d frames of silence", n)
	}
}

// Two feeds: what is not on air is looked at, and goes on air when it is taken.
func TestTwoFeeds(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.noSound = true
	other := &feeding{t: t, now: f.now, out: f.out, Feed: f.channel.Connect(f.now)}
	other.video(0x28)
	other.noSound = true
	offered := 0
	f.channel.Offer = func(o *Feed, _ time.Time) {
		if offered++; offered == 2 {
			f.channel.Take(o)
		}
	}
	f.see(0, idr())
	other.see(9_000_000, idr())
	other.see(9_000_040, following())
	f.want("T1K")
	other.see(9_000_080, idr())
	f.see(80, following())
	other.see(9_000_120, following())
	f.want("Kp")
	if r := other.report(); r.Pictures != 4 || r.Drops != 0 {
		t.Errorf("report of the other: %+v", r)
	}
	if !Alike(f.Feed, other.Feed) {
		t.Error("two of the same configuration are not alike")
	}
	other.video(0x29)
	if Alike(f.Feed, other.Feed) {
		t.Error("two of different configurations are alike")
	}
}

// Where decoding begins with a picture that others refer beyond, those are left out.
func TestOpenGroups(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.video(0x28)
	f.noSound = true
	recovery, intra := []byte{0x06, 6, 1, 0xc4, 0x80}, []byte{0x41, 0x88, 0x80}
	show := func(dts, pts int64, units ...[]byte) {
		t.Helper()
		if err := f.Picture(Picture{Units: units, DTS: dts * ms, PTS: pts * ms, At: f.now}); err != nil {
			t.Fatal(err)
		}
	}
	show(0, 120, following())
	show(40, 160, recovery, intra)
	show(80, 80, following())
	show(120, 120, following())
	show(160, 240, following())
	f.want("T1Kp")
	show(200, 320, recovery, intra)
	show(240, 240, following()) // now there is what it refers to
	f.want("Kp")
	if !f.report().Open {
		t.Error("it is not reported")
	}
	f.now = f.now.Add(3 * time.Second)
	f.channel.Hold(f.now, time.Second)
	f.want("") // repeated, it would not be one to begin with
}

// The other codecs, their configurations with the pictures.
func TestCodecs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		codec    hub.Codec
		key      string // units, apart by spaces
		next     string
		want     string // what is passed on of the key
		width    int
		reported string
	}{
		"HEVC": {
			hub.H265, "460150 40010c01ffff01600000030090000003000003001e959809 42010101600000030090000003000003001ea0182071f796566924caf0168080000003008000000c84a2 4401c172b46240 260180aa",
			"020180bb", "00000004260180aa", 192, "hvc1.1.6.L30.90",
		},
		"AV1": {hub.AV1, "1200 0a0a00000003b5feb36be401 320210aa", "320230bb", "0a0a00000003b5feb36be401320210aa", 192, "av01.0.00M.08"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFeeding(t)
			f.noSound = true
			if err := f.Video(test.codec, nil); err != nil {
				t.Fatal(err)
			}
			f.see(0, split(t, test.next)...) // nothing is known yet
			f.see(40, split(t, test.key)...)
			f.see(80, split(t, test.next)...)
			items := f.items()
			if len(items) != 3 || len(items[0].Tracks) != 1 || items[0].Tracks[0].Width != test.width || items[0].Tracks[0].Height != 108 {
				t.Fatalf("out comes %+v", items)
			}
			if u := items[1].Unit; !u.Key || hexed(u.Data) != test.want {
				t.Errorf("the key picture is %x, want %s", u.Data, test.want)
			}
			if u := items[2].Unit; u.Key || !strings.HasSuffix(hexed(u.Data), test.next) {
				t.Errorf("the next picture is %+v", u)
			}
			if r := f.report(); r.VideoCodec != test.reported {
				t.Errorf("reported as %q, want %q", r.VideoCodec, test.reported)
			}
		})
	}
}

// Opus has frames of several lengths, and a silence.
func TestOpus(t *testing.T) {
	t.Parallel()
	f := newFeeding(t)
	f.noPictures = true
	if err := f.Audio(hub.Opus, nil); err != nil {
		t.Fatal(err)
	}
	var items []hub.Item
	for _, p := range []struct {
		at   int64
		data []byte
	}{{0, []byte{0xf8, 1}}, {20, []byte{0xf9, 1}}, {60, []byte{0xf8, 1}}, {180, []byte{0xf8, 1}}} {
		if err := f.Sound(Sound{Data: p.data, PTS: p.at * ms, At: f.now}); err != nil {
			t.Fatal(err)
		}
		items = append(items, f.items()...)
	}
	var at []int64
	for _, item := range items {
		if item.Tracks == nil {
			at = append(at, item.Unit.DTS*1000/48000)
		} else if item.Tracks[0].Codec != hub.Opus || item.Tracks[0].Channels != 2 {
			t.Errorf("tracks %+v", item.Tracks)
		}
	}
	if len(at) != 9 || at[1]-at[0] != 20 || at[2]-at[0] != 60 || at[3]-at[2] != 20 || at[8]-at[0] != 180 {
		t.Errorf("frames are at %v ms", at)
	}
}

// A picture costs one allocation: the copy that readers share. One that is not on air
// costs none.
func TestFeedAllocates(t *testing.T) {
	f := newFeeding(t)
	f.video(0x28)
	f.audio(stereo48()...)
	f.see(0, idr())
	f.hear(0)
	sequence, picture := parameterSets()
	units := [][]byte{{9, 0xf0}, sequence, picture, idr()}
	sequence[3] = 0x28
	const frame = 1024 * Timescale / 48000
	at, sound := int64(0), make([]byte, 200)
	one := func(f *Feed) func() {
		return func() {
			at += frame
			now := time.Unix(1_800_000_000, int64(timeOf(at)))
			if err := f.Picture(Picture{Units: units, DTS: at, PTS: at, At: now}); err != nil {
				t.Fatal(err)
			}
			if err := f.Sound(Sound{Data: sound, PTS: at, At: now}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(1000, one(f.Feed)); n != 2 {
		t.Errorf("%v allocations for a picture and a frame, want 2", n)
	}
	other := f.channel.Connect(time.Unix(1_800_000_000, 0))
	if err := other.Video(hub.H264, nil); err != nil {
		t.Fatal(err)
	}
	one(other)()
	if n := testing.AllocsPerRun(1000, one(other)); n != 0 {
		t.Errorf("%v allocations for what is not on air, want none", n)
	}
}

// Whatever comes, in whatever order: nothing breaks, and times grow.
func FuzzFeed(f *testing.F) {
	f.Add([]byte{0, 2, 0x65, 0x88, 1, 3, 1, 2, 3, 2, 4, 0x41, 0x9a, 1, 2, 3, 0, 4, 1, 6})
	f.Add([]byte{8, 2, 0x12, 0, 0, 12, 0x0a, 0x0a, 0, 0, 0, 3, 0xb5, 0xfe, 0xb3, 0x6b, 0xe4, 1, 0, 4, 0x32, 2, 0x10, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		out := hub.New(hub.DefaultLimits())
		r, c := out.Read(), NewChannel(out, time.Hour)
		now := time.Unix(1_800_000_000, 0)
		feeds := []*Feed{c.Connect(now), c.Connect(now)}
		c.Take(feeds[0])
		c.Offer = func(o *Feed, _ time.Time) {
			if len(data)%3 == 0 {
				c.Take(o)
			}
		}
		for len(data) > 2 {
			op, size := data[0], int(data[1])
			unit := data[2:min(len(data), 2+size)]
			data = data[2+len(unit):]
			now = now.Add(time.Duration(size) * 5 * time.Millisecond)
			feed, stamp := feeds[op>>7], int64(size)*int64(op)*900
			switch op >> 3 & 7 {
			case 0:
				_ = feed.Picture(Picture{Units: [][]byte{{0x65, 0x88}, unit}, DTS: stamp, PTS: stamp + 7200, At: now})
			case 1:
				_ = feed.Video([]hub.Codec{hub.H264, hub.H265, hub.AV1, hub.Opus}[op&3], unit)
			case 2:
				_ = feed.Audio([]hub.Codec{hub.AAC, hub.Opus}[op&1], unit)
			case 3:
				_ = feed.Sound(Sound{Data: unit, PTS: stamp, At: now})
			case 4:
				c.Hold(now, time.Duration(op&3)*time.Second)
			case 5:
				feed.Expect(op&1 > 0, op&2 > 0)
				_ = feed.Splice(unit, stamp, now)
			case 6:
				c.Drop(feed)
			default:
				_ = feed.Picture(Picture{Units: [][]byte{unit}, DTS: stamp, PTS: stamp, At: now})
			}
		}
		checkItems(t, r)
	})
}

// checkItems checks that times grow within each track of what is there.
func checkItems(t *testing.T, r *hub.Reader) {
	var tracks []hub.Track
	last := map[bool]int64{}
	for r.Ready() {
		item, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if item.Tracks != nil {
			tracks, last = item.Tracks, map[bool]int64{}
			continue
		}
		video := tracks[item.Unit.Track].Codec.Video()
		if before, known := last[video]; known && item.Unit.DTS <= before {
			t.Fatalf("video %v: %d after %d", video, item.Unit.DTS, before)
		}
		last[video] = item.Unit.DTS
	}
}
