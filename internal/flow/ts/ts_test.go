package ts

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/google/go-cmp/cmp"

	"liuyun/internal/av/h264"
	"liuyun/internal/av/h265"
	"liuyun/internal/av/opus"
	"liuyun/internal/av/ts"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ingest/ingesttest"
	"liuyun/internal/testkit"
)

// clip is a transport stream that ffmpeg makes.
func clip(t testing.TB, name string, codecs ...string) []byte {
	t.Helper()
	c := testkit.Pattern(320, 180, "25", 4)
	c.Name = "flow-ts-" + name + ".ts"
	at := slices.Index(c.Args, "-c:v")
	if at >= 0 {
		c.Args = c.Args[:at]
	}
	c.Args = append(append(slices.Clone(c.Args), "-pix_fmt", "yuv420p"), codecs...)
	data, err := os.ReadFile(testkit.Generate(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func avc(t testing.TB) []byte {
	return clip(t, "h264-aac", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-c:a", "aac", "-b:a", "96k", "-output_ts_offset", "95442")
}

func hevc(t testing.TB) []byte {
	return clip(t, "h265-opus", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25", "-c:a", "libopus")
}

// packets is what ffprobe says of a track's packets: their times, modulo 2^33.
func packets(t testing.TB, stream []byte, track string) (list [][2]int64) {
	t.Helper()
	out := output(t, stream, testkit.FFprobe(t), "-v", "error", "-f", "mpegts", "-select_streams", track, "-show_entries", "packet=pts,dts", "-of", "csv=p=0", "-")
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.Trim(strings.TrimSpace(line), ","), ",")
		if len(fields) < 2 {
			continue
		}
		pts, err1 := strconv.ParseInt(fields[0], 10, 64)
		dts, err2 := strconv.ParseInt(fields[1], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("ffprobe: %q", line)
		}
		list = append(list, [2]int64{pts, dts})
	}
	return list
}

// since has all times count from the first, which is how readers differ that undo
// wraps.
func since(list [][2]int64) [][2]int64 {
	out := make([][2]int64, len(list))
	for i, v := range list {
		out[i] = [2]int64{v[0] - list[0][1], v[1] - list[0][1]}
	}
	return out
}

// What ffmpeg puts together is taken apart as ffprobe takes it apart, over the wrap of
// timestamps (the clip begins a second before it).
func TestFFmpegsStreams(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		stream []byte
		codecs []hub.Codec
	}{
		"h264 and aac":  {avc(t), []hub.Codec{hub.H264, hub.AAC}},
		"h265 and opus": {hevc(t), []hub.Codec{hub.H265, hub.Opus}},
	} {
		in, f := feed(t, tt.stream, 1316)
		if f.Dropped() != 0 || f.Stats().Lost != 0 {
			t.Errorf("%s: %+v", name, f.Stats())
		}
		if !slices.Equal(in.Codecs, tt.codecs) || !slices.Equal(in.Expected, [][2]bool{{true, true}}) {
			t.Errorf("%s: codecs %v, expected %v", name, in.Codecs, in.Expected)
		}
		var pictures, sounds [][2]int64
		for _, p := range in.Pictures {
			pictures = append(pictures, [2]int64{p.PTS, p.DTS})
		}
		for _, s := range in.Sounds {
			sounds = append(sounds, [2]int64{s.PTS, s.PTS})
		}
		if diff := cmp.Diff(since(packets(t, tt.stream, "v")), since(pictures)); diff != "" {
			t.Errorf("%s: pictures: %s", name, diff)
		}
		want := since(packets(t, tt.stream, "a"))
		if len(want) != len(sounds) {
			t.Fatalf("%s: %d frames of sound, want %d", name, len(sounds), len(want))
		}
		for i, got := range since(sounds) {
			if off := got[0] - want[i][0]; off < -2 || off > 2 {
				t.Fatalf("%s: sound %d at %d, want %d", name, i, got[0], want[i][0])
			}
		}
	}
}

// A reader that is not ours finds the same in the same stream.
func TestMediacommonAgrees(t *testing.T) {
	t.Parallel()
	stream := avc(t)
	in, _ := feed(t, stream, 5000)
	r := &mpegts.Reader{R: bytes.NewReader(stream)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	var pictures, sounds int
	for _, track := range r.Tracks() {
		r.OnDataH264(track, func(pts, dts int64, units [][]byte) error {
			ours := in.Pictures[pictures]
			ours.Units = slices.DeleteFunc(ours.Units, func(u []byte) bool { return u[0] == 9 })
			if (ours.PTS-pts)%(1<<33) != 0 || (ours.DTS-dts)%(1<<33) != 0 || !slices.EqualFunc(ours.Units, units, bytes.Equal) {
				t.Fatalf("picture %d: ours at %d, %d with %d units, theirs at %d, %d with %d", pictures, ours.PTS, ours.DTS, len(ours.Units), pts, dts, len(units))
			}
			pictures++
			return nil
		})
		break
	}
	r.OnDataMPEG4Audio(r.Tracks()[1], func(_ int64, units [][]byte) error {
		for _, u := range units {
			if !bytes.Equal(in.Sounds[sounds].Data, u) {
				t.Fatalf("sound %d differs", sounds)
			}
			sounds++
		}
		return nil
	})
	for r.Read() == nil {
	}
	if pictures != len(in.Pictures) || sounds != len(in.Sounds) {
		t.Errorf("%d pictures and %d frames of sound, theirs %d and %d", len(in.Pictures), len(in.Sounds), pictures, sounds)
	}
}

// through writes what a feed took in to a hub, as an input would, with the first picture
// alone as a key frame.
func through(t testing.TB, in *ingesttest.Input) *hub.Stream {
	t.Helper()
	s := hub.New(hub.Limits{Units: 4096, Bytes: 64 << 20})
	tracks := []hub.Track{{Codec: in.Codecs[0], Clock: 90000}, {Codec: in.Codecs[1], Clock: 48000, Config: in.Configs[1]}}
	var units []hub.Unit
	var sets struct {
		h264.Sets
		hevc h265.Sets
	}
	zero := in.Pictures[0].DTS
	for _, p := range in.Pictures {
		u := hub.Unit{DTS: p.DTS - zero, PTS: p.PTS - zero}
		for _, n := range p.Units {
			role, key := look(in.Codecs[0], n)
			switch role {
			case parameters:
				if in.Codecs[0] == hub.H264 {
					_, _ = sets.Put(n)
				} else {
					_, _ = sets.hevc.Put(n)
				}
			case carried:
				u.Key = u.Key || key && len(units) == 0 // readers begin at the newest
				u.Data = append(append(u.Data, byte(len(n)>>24), byte(len(n)>>16), byte(len(n)>>8), byte(len(n))), n...)
			}
		}
		units = append(units, u)
	}
	var err error
	if tracks[0].Config, err = sets.Config(); in.Codecs[0] == hub.H265 {
		tracks[0].Config, err = sets.hevc.Config()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range in.Sounds {
		at := (a.PTS - zero) * 48000 / 90000
		units = append(units, hub.Unit{Track: 1, DTS: at, PTS: at, Key: true, Data: a.Data})
	}
	slices.SortStableFunc(units, func(a, b hub.Unit) int {
		return int(a.DTS*48000/tracks[a.Track].Clock - b.DTS*48000/tracks[b.Track].Clock)
	})
	s.Begin(tracks)
	for _, u := range units {
		s.Write(u)
		if len(u.Data) == 0 {
			t.Fatal("a unit without data")
		}
	}
	s.End(nil)
	return s
}

const (
	parameters = iota
	left
	carried
)

// look says what a NAL unit is.
func look(codec hub.Codec, n []byte) (role int, key bool) {
	kind := n[0] & 0x1f
	if codec == hub.H265 {
		kind = n[0] >> 1 & 0x3f
		switch {
		case kind >= 32 && kind <= 34:
			return parameters, false
		case kind == 35:
			return left, false
		}
		return carried, kind >= 16 && kind <= 21
	}
	switch kind {
	case 7, 8:
		return parameters, false
	case 9:
		return left, false
	}
	return carried, kind == 5
}

// collect is a writer that looks at the size of datagrams.
type collect struct {
	bytes.Buffer
	t testing.TB
}

func (c *collect) Write(p []byte) (int, error) {
	if len(p) > Chunk || len(p)%ts.PacketSize != 0 {
		c.t.Errorf("a datagram of %d bytes", len(p))
	}
	return c.Buffer.Write(p)
}

// What comes in goes out again: ffmpeg decodes the same pictures and the same sound
// from it, without a complaint.
func TestSend(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string][]byte{"h264 and aac": avc(t), "h265 and opus": hevc(t)} {
		in, _ := feed(t, stream, 1316)
		s, out := through(t, in), &collect{t: t}
		if err := Send(t.Context(), s.Read(), out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(hashes(t, stream, "v"), hashes(t, out.Bytes(), "v")); diff != "" {
			t.Errorf("%s: pictures: %s", name, diff)
		}
		first, again := hashes(t, stream, "a"), hashes(t, out.Bytes(), "a")
		if n := len(first) - len(again); n < 0 || n > 8 || len(again) < 100 {
			t.Errorf("%s: %d frames of sound, then %d", name, len(first), len(again))
		}
		back, f := feed(t, out.Bytes(), 700)
		if f.Dropped() != 0 || f.Stats().Lost+f.Stats().Skipped != 0 || len(back.Pictures) != len(in.Pictures) {
			t.Errorf("%s: %+v, %d pictures, want %d", name, f.Stats(), len(back.Pictures), len(in.Pictures))
		}
		out.Reset()
	}
}

// hashes are of what ffmpeg decodes.
func hashes(t testing.TB, stream []byte, track string) (list []string) {
	t.Helper()
	out := output(t, stream, testkit.FFmpeg(t), "-v", "error", "-f", "mpegts", "-i", "-", "-map", "0:"+track, "-fps_mode", "passthrough", "-f", "framemd5", "-")
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(strings.TrimSpace(line), ","); !strings.HasPrefix(line, "#") && len(fields) == 6 {
			list = append(list, strings.TrimSpace(fields[5]))
		}
	}
	return list
}

// A stream that loses packets gives pictures that are whole, and goes on.
func TestLoss(t *testing.T) {
	t.Parallel()
	stream := avc(t)
	all, _ := feed(t, stream, 1316)
	whole := make(map[string]bool)
	for _, p := range all.Pictures {
		whole[string(bytes.Join(p.Units, []byte{0, 0, 1}))] = true
	}
	var damaged []byte
	for i := 0; i*ts.PacketSize < len(stream); i++ {
		if i%50 != 37 {
			damaged = append(damaged, stream[i*ts.PacketSize:(i+1)*ts.PacketSize]...)
		}
	}
	in, f := feed(t, damaged, 1316)
	for i, p := range in.Pictures {
		if !whole[string(bytes.Join(p.Units, []byte{0, 0, 1}))] {
			t.Errorf("picture %d is not one that was sent", i)
		}
	}
	if f.Dropped() == 0 || len(in.Pictures) < 10 || len(in.Sounds) < 50 || len(in.Codecs) != 2 {
		t.Errorf("%d pictures, %d frames of sound, codecs %v, %d dropped", len(in.Pictures), len(in.Sounds), in.Codecs, f.Dropped())
	}
}

// Frames of AAC may go on in the next packet, and garbage may be between them.
func TestAACOverPackets(t *testing.T) {
	t.Parallel()
	all, _ := feed(t, avc(t), 1316)
	var stream []byte
	for i, a := range all.Sounds[:40] {
		o := outgoing{Track: hub.Track{Codec: hub.AAC, Clock: 48000, Config: all.Configs[1]}}
		if _, err := o.setUp(); err != nil {
			t.Fatal(err)
		}
		if i == 20 {
			stream = append(stream, "garbage \xff\xff\xf1\x00 garbage"...)
		}
		stream = o.appendPayload(stream, hub.Unit{Data: a.Data})
	}
	m, err := ts.NewMuxer([]ts.Track{{Codec: ts.AAC}})
	if err != nil {
		t.Fatal(err)
	}
	out, frame := m.AppendTables(nil), int64(0)
	for part := range slices.Chunk(stream, 500) {
		out = m.AppendUnit(out, 0, ts.Unit{Data: part, PTS: frame * 1920, DTS: frame * 1920})
		frame += 2
	}
	in, _ := feed(t, out, 188)
	for i, a := range in.Sounds {
		if !bytes.Equal(a.Data, all.Sounds[i].Data) {
			t.Fatalf("frame %d of %d differs", i, len(in.Sounds))
		}
	}
	if len(in.Sounds) != 40 {
		t.Errorf("%d frames, want 40", len(in.Sounds))
	}
}

// A header that is damaged changes nothing; one that comes twice does.
func TestAACChanges(t *testing.T) {
	t.Parallel()
	m, err := ts.NewMuxer([]ts.Track{{Codec: ts.AAC}})
	if err != nil {
		t.Fatal(err)
	}
	out := m.AppendTables(nil)
	for i, config := range [][]byte{{0x11, 0x90}, {0x12, 0x10}, {0x11, 0x90}, {0x12, 0x10}, {0x12, 0x10}, {0x12, 0x10}} {
		o := outgoing{Track: hub.Track{Codec: hub.AAC, Config: config}}
		if _, err := o.setUp(); err != nil {
			t.Fatal(err)
		}
		out = m.AppendUnit(out, 0, ts.Unit{Data: o.appendPayload(nil, hub.Unit{Data: []byte("sound")}), PTS: int64(i), DTS: int64(i)})
	}
	in, f := feed(t, out, 188)
	if diff := cmp.Diff([][]byte{{0x11, 0x90}, {0x12, 0x10}}, in.Configs); diff != "" || len(in.Sounds) != 4 || f.Dropped() != 2 {
		t.Errorf("%d frames, %d dropped %s", len(in.Sounds), f.Dropped(), diff)
	}
}

func TestNothingUsable(t *testing.T) {
	t.Parallel()
	stream := clip(t, "mpeg2-mp2", "-c:v", "mpeg2video", "-c:a", "mp2")
	f := NewFeed(&ingesttest.Input{}, quiet())
	var err error
	for part := range slices.Chunk(stream, 1316) {
		if err = f.Write(part, now()); err != nil {
			break
		}
	}
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), "MPEG-2 video and MPEG audio") {
		t.Errorf("got %v", err)
	}
}

func TestOpusPacket(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte{7}, 300)
	for name, tt := range map[string]struct {
		data string
		want string
		rest string
	}{
		"plain":    {"\x7f\xe0\x02ab", "ab", ""},
		"two":      {"\x7f\xe0\x02ab\x7f\xe0\x01c", "ab", "\x7f\xe0\x01c"},
		"long":     {"\x7f\xe0\xff\x2d" + string(long), string(long), ""},
		"trimmed":  {"\x7f\xf8\x02\x00\x01\x00\x02ab", "ab", ""},
		"extended": {"\x7f\xe4\x02\x03xyzab", "ab", ""},
	} {
		packet, rest, err := opusPacket([]byte(tt.data))
		if err != nil || string(packet) != tt.want || string(rest) != tt.rest {
			t.Errorf("%s: %q, %q, %v", name, packet, rest, err)
		}
	}
	for _, bad := range []string{"", "\x7f\xe0", "\x00\x00\x01a", "\x7f\xe0\x00", "\x7f\xe0\x05ab", "\x7f\xe0\xff\xff", "\x7f\xe4\x02\x09ab", "\x7f\xf8\x02"} {
		if packet, _, err := opusPacket([]byte(bad)); err == nil {
			t.Errorf("%q: got %q", bad, packet)
		}
	}
}

// A reader is told why it gets nothing.
func TestSendRefuses(t *testing.T) {
	t.Parallel()
	s := hub.New(hub.DefaultLimits())
	s.Begin([]hub.Track{{Codec: hub.AV1, Clock: 90000}, {Codec: hub.Opus, Clock: 48000, Config: opus.Plain(2).Record()}})
	s.Write(hub.Unit{Key: true, Data: []byte{1}})
	err := Send(t.Context(), s.Read(), &bytes.Buffer{})
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), "av1") {
		t.Errorf("got %v", err)
	}
}

// Nothing is allocated for a unit.
func TestSendAllocates(t *testing.T) {
	in, _ := feed(t, avc(t), 1316)
	s := through(t, in)
	r := s.Read()
	item, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := sender{}
	if err := out.begin(item.Tracks); err != nil {
		t.Fatal(err)
	}
	item, err = r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { out.out = out.append(out.out[:0], item.Unit) }); n != 0 {
		t.Errorf("%v allocations a unit", n)
	}
}

// counting is an input that keeps nothing.
type counting struct {
	ingesttest.Input
	pictures int
}

func (c *counting) Picture(p ingest.Picture) error { c.pictures += len(p.Units); return nil }
func (c *counting) Sound(ingest.Sound) error       { c.pictures++; return nil }

func TestFeedAllocates(t *testing.T) {
	stream := avc(t)
	f := NewFeed(&counting{}, quiet())
	if err := f.Write(stream, now()); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(3, func() {
		if err := f.Write(stream, now()); err != nil {
			t.Fatal(err)
		}
	}); n > 4 {
		t.Errorf("%v allocations for a stream of %d pictures", n, 100)
	}
}
