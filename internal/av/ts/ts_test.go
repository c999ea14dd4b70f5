package ts

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/av/bits"
)

// heard is what a demuxer told.
type heard struct {
	tracks   [][]Track
	payloads []payload
	sections [][]byte
}

type payload struct {
	Track    int
	Data     string
	Timed    bool
	PTS, DTS uint64
}

func (h *heard) Tracks(list []Track) error {
	h.tracks = append(h.tracks, slices.Clone(list))
	return nil
}

func (h *heard) Payload(track int, p Payload) error {
	h.payloads = append(h.payloads, payload{track, string(p.Data), p.Timed, p.PTS, p.DTS})
	return nil
}

func (h *heard) Section(_ int, section []byte) error {
	h.sections = append(h.sections, bytes.Clone(section))
	return nil
}

// listen takes a stream apart, in writes of so many bytes.
func listen(t testing.TB, stream []byte, size int) (*heard, Stats) {
	t.Helper()
	h := &heard{}
	d := NewDemuxer(h)
	for part := range slices.Chunk(stream, size) {
		if err := d.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	return h, d.Stats()
}

func bothTracks() []Track { return []Track{{Codec: H264}, {Codec: AAC}} }

// made is a stream of units, and what it carries. Sizes are those where padding and
// the length of a PES packet turn over.
func made(t testing.TB, tracks []Track) (stream []byte, want []payload) {
	t.Helper()
	m, err := NewMuxer(tracks)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	sizes := []int{1, 100, 155, 156, 157, 158, 159, 160, 161, 162, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 183, 184, 185, 368, 5000, 65522, 65523, 65530, 70000, 200000, 3, 7}
	for i, size := range sizes {
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		track := i % 5 % len(tracks)
		if size > 60000 && !tracks[track].Codec.Pictures() {
			track = 0
		}
		u := Unit{Data: data, DTS: int64(i)*3600 + 1<<33 - 30000, Key: i%4 == 0}
		u.PTS, u.Clock = u.DTS, u.DTS-20000
		if tracks[track].Codec.Pictures() {
			u.PTS += int64(i%3) * 3600
		}
		if i%7 == 0 {
			stream = m.AppendTables(stream)
		}
		stream = m.AppendUnit(stream, track, u)
		want = append(want, payload{track, string(data), true, uint64(u.PTS) & (1<<33 - 1), uint64(u.DTS) & (1<<33 - 1)})
	}
	return stream, want
}

// inOrder sorts payloads by track: one that has no length comes when the next begins.
func inOrder(list []payload) []payload {
	slices.SortStableFunc(list, func(a, b payload) int { return a.Track - b.Track })
	return list
}

// What a muxer puts together a demuxer takes apart, however it is cut.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, tracks := range map[string][]Track{
		"both": bothTracks(), "h265 and opus": {{Codec: H265}, {Codec: Opus, Channels: 2}}, "pictures": {{Codec: H264}},
	} {
		stream, want := made(t, tracks)
		for _, size := range []int{1, 7, 187, 188, 189, 1316, 4096, len(stream)} {
			h, stats := listen(t, stream, size)
			if diff := cmp.Diff(inOrder(slices.Clone(want)), inOrder(h.payloads)); diff != "" {
				t.Fatalf("%s, writes of %d: %s", name, size, diff[:min(len(diff), 1000)])
			}
			if stats != (Stats{Packets: int64(len(stream) / PacketSize)}) {
				t.Errorf("%s, writes of %d: %+v", name, size, stats)
			}
			if len(h.tracks) != 1 || len(h.tracks[0]) != len(tracks) {
				t.Fatalf("%s: tracks %+v", name, h.tracks)
			}
			for i, got := range h.tracks[0] {
				if got.Codec != tracks[i].Codec || got.Channels != tracks[i].Channels || got.PID == 0 {
					t.Errorf("%s: track %+v, want %+v", name, got, tracks[i])
				}
			}
		}
	}
}

// A stream that begins in the middle, has junk in it, loses packets or sends them twice
// gives what is whole of it and nothing else.
func TestDamage(t *testing.T) {
	t.Parallel()
	stream, want := made(t, bothTracks())
	whole := make(map[payload]bool)
	for _, p := range want {
		whole[p] = true
	}
	packets := slices.Collect(slices.Chunk(stream, PacketSize))
	for name, tt := range map[string]struct {
		damage func() []byte
		least  int // payloads
		check  func(Stats) bool
	}{
		"in the middle": {func() []byte { return bytes.Join(packets[100:], nil) }, 3, func(s Stats) bool { return s.Lost == 0 }},
		"cut packets":   {func() []byte { return slices.Concat(stream[:40*PacketSize], stream[40*PacketSize+50:]) }, len(want) - 2, func(s Stats) bool { return s.Skipped == PacketSize-50 }},
		"junk": {func() []byte {
			return slices.Concat(stream[:20*PacketSize], bytes.Repeat([]byte(" junkG "), 77), stream[20*PacketSize:])
		}, len(want), func(s Stats) bool { return s.Skipped == 77*7 }},
		"twice":     {func() []byte { return doubled(packets) }, len(want), func(s Stats) bool { return s.Lost == 0 }},
		"lost":      {func() []byte { return without(packets, 97) }, 15, func(s Stats) bool { return s.Lost > 5 && s.Dropped > 0 }},
		"m2ts":      {func() []byte { return spaced(packets, 4, 0) }, len(want) - 1, func(s Stats) bool { return s.Skipped == 4 }},
		"parity":    {func() []byte { return spaced(packets, 0, 16) }, len(want), func(s Stats) bool { return s.Skipped == 0 }},
		"scrambled": {func() []byte { return scrambled(packets) }, 0, func(s Stats) bool { return s.Scrambled > 0 }},
	} {
		h, stats := listen(t, tt.damage(), 1316)
		if len(h.payloads) < tt.least || !tt.check(stats) {
			t.Errorf("%s: %d of %d payloads, %+v", name, len(h.payloads), len(want), stats)
		}
		for _, p := range h.payloads {
			if !whole[p] {
				t.Errorf("%s: a payload of %d bytes that was not sent", name, len(p.Data))
			}
		}
	}
}

func doubled(packets [][]byte) (out []byte) {
	for _, p := range packets {
		out = append(append(out, p...), p...)
	}
	return out
}

func without(packets [][]byte, each int) (out []byte) {
	for i, p := range packets {
		if i%each != each-1 {
			out = append(out, p...)
		}
	}
	return out
}

func spaced(packets [][]byte, before, after int) (out []byte) {
	for _, p := range packets {
		out = append(append(append(out, make([]byte, before)...), p...), make([]byte, after)...)
	}
	return out
}

func scrambled(packets [][]byte) (out []byte) {
	for _, p := range packets {
		p = bytes.Clone(p)
		if pid := binary.BigEndian.Uint16(p[1:]) & 0x1fff; pid != patPID && pid != pmtPID {
			p[3] |= 0x80
		}
		out = append(out, p...)
	}
	return out
}

// A program that changes is told anew; what goes on of it goes on.
func TestTracksChange(t *testing.T) {
	t.Parallel()
	m, err := NewMuxer([]Track{{Codec: H264}})
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte{1}, 100_000)
	stream := m.AppendUnit(m.AppendTables(nil), 0, Unit{Data: large})
	if err := m.SetTracks(bothTracks()); err != nil {
		t.Fatal(err)
	}
	stream = m.AppendUnit(m.AppendTables(stream), 1, Unit{Data: []byte("sound")})
	stream = m.AppendUnit(stream, 0, Unit{Data: []byte("picture")})
	h, stats := listen(t, stream, 1316)
	if len(h.tracks) != 2 || len(h.payloads) != 3 || stats.Dropped+stats.Lost > 0 {
		t.Errorf("%d times tracks, %d payloads, %+v", len(h.tracks), len(h.payloads), stats)
	}
}

// A PES packet without a timestamp goes on with the picture before it.
func TestPictureInTwoPackets(t *testing.T) {
	t.Parallel()
	m, err := NewMuxer([]Track{{Codec: H264}})
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte{1}, 70_000)
	stream := m.AppendUnit(m.AppendTables(nil), 0, Unit{Data: large, PTS: 9, DTS: 9})
	begin := len(stream)
	stream = m.AppendUnit(stream, 0, Unit{Data: large, PTS: 9, DTS: 9})
	stream[begin+4+8+7] = 0 // no timestamp; what is optional becomes padding
	h, _ := listen(t, stream, 188)
	if len(h.payloads) != 1 || len(h.payloads[0].Data) != 2*len(large) {
		t.Errorf("%d payloads", len(h.payloads))
	}
}

// What never ends is given up.
func TestBounds(t *testing.T) {
	t.Parallel()
	m, err := NewMuxer(bothTracks())
	if err != nil {
		t.Fatal(err)
	}
	for track, c := range []Codec{H264, AAC} {
		stream := m.AppendUnit(m.AppendTables(nil), track, Unit{Data: make([]byte, c.limit()+1)})
		stream = m.AppendUnit(stream, track, Unit{Data: []byte("next")})
		h, stats := listen(t, stream, 1316)
		if len(h.payloads) != 1 || h.payloads[0].Data != "next" || stats.Dropped != 1 {
			t.Errorf("%s: %d payloads, %+v", c, len(h.payloads), stats)
		}
	}
}

// packetsOf puts sections into packets of a PID, end to end.
func packetsOf(pid uint16, sections ...[]byte) (out []byte) {
	all := append([]byte{0}, bytes.Join(sections, nil)...)
	for i := 0; len(all) > 0; i++ {
		begin := byte(0)
		if i == 0 {
			begin = 0x40
		}
		out = append(out, syncByte, begin|byte(pid>>8), byte(pid), 0x10|byte(i&0xf))
		n := min(len(all), 184)
		out = append(append(out, all[:n]...), bytes.Repeat([]byte{0xff}, 184-n)...)
		all = all[n:]
	}
	return out
}

// The examples of SCTE 35, 2019, 14.1 and 14.2, in a stream beside pictures.
func TestSplices(t *testing.T) {
	t.Parallel()
	signal, _ := base64.StdEncoding.DecodeString("/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg==")
	insert, _ := base64.StdEncoding.DecodeString("/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo=")
	const splicePID = 0x1f0
	table := seal([]byte{pmtTable, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x86, 0xe1, 0xf0, 0xf0, 0})
	m, err := NewMuxer([]Track{{Codec: H264}})
	if err != nil {
		t.Fatal(err)
	}
	large := append(bytes.Clone(signal[:len(signal)-4]), make([]byte, 400)...)
	large[1], large[2] = 0x30|byte((len(large)+1)>>8), byte(len(large)+1)
	large = binary.BigEndian.AppendUint32(large, bits.SectionSum(large))
	damaged := bytes.Clone(insert)
	damaged[20]++
	stream := slices.Concat(m.AppendTables(nil)[:PacketSize], packetsOf(pmtPID, table), packetsOf(splicePID, signal, damaged, insert, large))
	h, stats := listen(t, stream, 188)
	if diff := cmp.Diff([][]byte{signal, insert, large}, h.sections); diff != "" || stats.Dropped != 1 {
		t.Errorf("%+v, %s", stats, diff)
	}
}

func TestWhatIsPassedOver(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind        byte
		descriptors string
		want        Codec
	}{
		"mpeg-2": {0x02, "", "MPEG-2 video"}, "mp2": {0x04, "", "MPEG audio"}, "latm": {0x11, "", "AAC in LATM"}, "ac-3": {0x81, "", "AC-3"},
		"dvb ac-3": {0x06, "\x6a\x01\x00", "AC-3"}, "teletext": {0x06, "\x0a\x04eng\x00\x56\x00", "teletext"}, "nothing": {0x06, "", "private data"},
		"av1": {0x06, "\x05\x04AV01", "AV1"}, "opus": {0x06, "\x05\x04Opus\x7f\x02\x80\x02", Opus}, "other": {0xc0, "", "data"}, "cut": {0x06, "\x05\x09Opus", "private data"},
	} {
		if c, channels := codecOf(tt.kind, []byte(tt.descriptors)); c != tt.want || (c == Opus) != (channels == 2) {
			t.Errorf("%s: %s, %d channels", name, c, channels)
		}
	}
}

func TestMuxerRefuses(t *testing.T) {
	t.Parallel()
	for _, tracks := range [][]Track{{{Codec: "AV1"}}, {{Codec: Opus, Channels: 6}}, {{Codec: Splices}}} {
		if _, err := NewMuxer(tracks); err == nil {
			t.Errorf("%+v was taken", tracks)
		}
	}
}

type quiet struct{ bytes int }

func (q *quiet) Tracks([]Track) error      { return nil }
func (q *quiet) Section(int, []byte) error { return nil }
func (q *quiet) Payload(_ int, p Payload) error {
	q.bytes += len(p.Data)
	return nil
}

func TestNoAllocation(t *testing.T) {
	stream, _ := made(t, bothTracks())
	q := &quiet{}
	d := NewDemuxer(q)
	if n := testing.AllocsPerRun(10, func() {
		for part := range slices.Chunk(stream, 1316) {
			if d.Write(part) != nil {
				t.Fatal("refused")
			}
		}
	}); n != 0 {
		t.Errorf("taking apart: %v allocations", n)
	}
	m, err := NewMuxer(bothTracks())
	if err != nil {
		t.Fatal(err)
	}
	out, data := make([]byte, 0, 1<<20), make([]byte, 10_000)
	if n := testing.AllocsPerRun(100, func() {
		out = m.AppendUnit(m.AppendTables(out[:0]), 0, Unit{Data: data, PTS: 2, DTS: 1})
	}); n != 0 {
		t.Errorf("putting together: %v allocations", n)
	}
}

// Anything may come. What is told does not depend on how it was cut, and what is kept
// is bounded.
func FuzzDemuxer(f *testing.F) {
	stream, _ := made(f, bothTracks())
	f.Add(stream[:12*PacketSize], uint16(188))
	f.Add(stream[3*PacketSize+9:15*PacketSize], uint16(1000))
	table := seal([]byte{pmtTable, 0xb0, 0, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x86, 0xe1, 0xf0, 0xf0, 0})
	signal, _ := base64.StdEncoding.DecodeString("/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg==")
	f.Add(slices.Concat(stream[:PacketSize], packetsOf(pmtPID, table), packetsOf(0x1f0, signal, signal)), uint16(77))
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		at := int(size)%4000 + 1
		h, stats := listen(t, data, at)
		all, _ := listen(t, data, len(data)+1)
		if !reflect.DeepEqual(all, h) {
			t.Fatalf("writes of %d: %+v, else %+v", at, h, all)
		}
		total := 0
		for _, p := range h.payloads {
			total += len(p.Data)
			if p.PTS >= 1<<33 || p.DTS >= 1<<33 {
				t.Errorf("timestamps %+v", p)
			}
		}
		if total > len(data) || stats.Packets > int64(len(data)/PacketSize) {
			t.Errorf("%d bytes of %d, %+v", total, len(data), stats)
		}
	})
}

func BenchmarkDemuxer(b *testing.B) {
	stream, _ := made(b, bothTracks())
	d := NewDemuxer(&quiet{})
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		for part := range slices.Chunk(stream, 1316) {
			if err := d.Write(part); err != nil {
				b.Fatal(err)
			}
		}
	}
}
