package window

import (
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/timebase"
	"liuyun/internal/flow/hub"
)

// avcC and asc are a decoder configuration of H.264 and of AAC-LC, 48 kHz, stereo.
func avcC() []byte {
	return []byte{1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xee, 0xfd, 0xf8, 0xf8, 0}
}

func asc() []byte { return []byte{0x11, 0x90} }

func pictures(rate int64) hub.Track {
	return hub.Track{Codec: hub.H264, Clock: 90000, Config: avcC(), Width: 640, Height: 360, Rate: timebase.R(rate, 1)}
}

func sound() hub.Track {
	return hub.Track{Codec: hub.AAC, Clock: 48000, Config: asc(), Channels: 2}
}

// noon is when the streams of tests begin.
func noon() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

// source makes units of pictures and sound, in the order in which they would come.
type source struct {
	rate   int64 // pictures a second; 0 is none
	gop    func(n int64) bool
	jitter func(n int64) int64 // added to the time of a picture, in ticks
	silent func(at time.Duration) bool
	blind  func(at time.Duration) bool
	noise  bool // has sound
	zero   int64
	late   time.Duration // of the day
	size   int

	pictures, frames int64
}

func every(n int64) func(int64) bool { return func(i int64) bool { return i%n == 0 } }

func (s *source) tracks() (all []hub.Track) {
	if s.rate > 0 {
		all = append(all, pictures(s.rate))
	}
	if s.noise {
		all = append(all, sound())
	}
	return all
}

// now is how far it has come.
func (s *source) now() time.Duration {
	if s.rate == 0 {
		return duration(s.frames*1024, 48000)
	}
	return time.Duration(max(s.pictures-1, 0)) * time.Second / time.Duration(s.rate)
}

// next returns the unit whose turn it is, or false if it is missing.
func (s *source) next() (hub.Unit, bool) {
	picture := time.Duration(s.pictures) * time.Second / time.Duration(max(s.rate, 1))
	frame := time.Duration(s.frames) * 1024 * time.Second / 48000
	if s.rate > 0 && (!s.noise || picture <= frame) {
		n := s.pictures
		s.pictures++
		at := s.zero + n*90000/s.rate
		if s.jitter != nil {
			at += s.jitter(n)
		}
		size := 100
		if s.size > 0 {
			size = s.size
		}
		u := hub.Unit{DTS: at, PTS: at + 3600, Key: s.gop(n), Wall: noon().Add(duration(at, 90000) + s.late), Data: numbered(n, size)}
		return u, s.blind == nil || !s.blind(picture)
	}
	n := s.frames
	s.frames++
	track := 0
	if s.rate > 0 {
		track = 1
	}
	at := s.zero*48000/90000 + n*1024
	u := hub.Unit{Track: track, DTS: at, PTS: at, Key: true, Wall: noon().Add(duration(at, 48000) + s.late), Data: numbered(n, 60)}
	return u, s.silent == nil || !s.silent(frame)
}

func numbered(n int64, size int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, size), uint64(n))[:size]
}

// bench cuts in the goroutine of the test, and checks each version of each playlist.
type bench struct {
	t        *testing.T
	g        *Group
	versions map[string]int64
	full     map[string]*hls.Checked
	delta    map[string]*hls.Checked
	quiet    bool // do not write to the disk
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	if o.Folder == "" {
		o.Folder = t.TempDir()
	}
	if o.First == 0 {
		o.First = 100
	}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.files.close)
	return &bench{t: t, g: g, versions: map[string]int64{}, full: map[string]*hls.Checked{}, delta: map[string]*hls.Checked{}}
}

func (b *bench) begin(tracks []hub.Track) {
	b.t.Helper()
	if err := b.g.cut.begin(tracks); err != nil {
		b.t.Fatal(err)
	}
	b.check()
}

func (b *bench) write(u hub.Unit) {
	b.t.Helper()
	if err := b.g.cut.write(u); err != nil {
		b.t.Fatal(err)
	}
	if !b.quiet {
		b.g.work()
	}
	b.check()
}

// play writes so many seconds of a source.
func (b *bench) play(s *source, seconds float64) {
	b.t.Helper()
	end := time.Duration(seconds * float64(time.Second))
	for s.now() < end {
		if u, there := s.next(); there {
			b.write(u)
		}
	}
}

func (b *bench) finish() {
	b.t.Helper()
	if err := b.g.cut.finish(); err != nil {
		b.t.Fatal(err)
	}
	b.g.End()
	b.check()
}

// check holds the playlists that changed against the rules, and against those before.
func (b *bench) check() {
	b.t.Helper()
	for _, r := range b.g.all() {
		if known, there := b.versions[r.name]; there && known == r.version {
			continue
		}
		b.versions[r.name] = r.version
		if len(r.listed(b.g.first)) == 0 {
			continue
		}
		b.full[r.name] = b.read(r.name, Query{MSN: -1, Part: -1}, b.full[r.name])
		if b.delta[r.name] == nil {
			b.delta[r.name] = b.full[r.name]
			continue
		}
		b.delta[r.name] = b.read(r.name, Query{MSN: -1, Part: -1, Skip: true}, b.delta[r.name])
	}
}

func (b *bench) read(name string, q Query, before *hls.Checked) *hls.Checked {
	b.t.Helper()
	answer, err := b.g.Playlist(b.t.Context(), name, q)
	if err != nil {
		b.t.Fatal(err)
	}
	checked, problems := hls.Check(answer.Text, before)
	for _, p := range problems {
		b.t.Errorf("%s: %v", name, p)
	}
	if len(problems) > 0 {
		b.t.Fatalf("%s", answer.Text)
	}
	return checked
}

// playlist is the newest of a rendition.
func (b *bench) playlist(name string) *hls.LivePlaylist {
	b.t.Helper()
	if b.full[name] == nil {
		b.t.Fatalf("no playlist %s", name)
	}
	return &b.full[name].Playlist
}

// fetch reads a file whole.
func (b *bench) fetch(rendition, name string) []byte {
	b.t.Helper()
	f, err := b.g.Open(b.t.Context(), rendition, name)
	if err != nil {
		b.t.Fatalf("%s/%s: %v", rendition, name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(f.Content)
	if err != nil || int64(len(data)) != f.Size {
		b.t.Fatalf("%s/%s: %d bytes of %d, %v", rendition, name, len(data), f.Size, err)
	}
	return data
}

// isPart reports whether data begins as a part does: with when it was made, events
// before that, or its moof.
func isPart(data []byte) bool {
	return len(data) > 8 && slices.Contains([]string{"prft", "emsg", "moof"}, string(data[4:8]))
}
