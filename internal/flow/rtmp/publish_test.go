package rtmp

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What x265 and libaom set decoders up with, of 192 × 108.
const (
	hevcVideo    = "40010c01ffff01600000030090000003000003001e959809"
	hevcSequence = "42010101600000030090000003000003001ea0182071f796566924caf0168080000003008000000c84a2"
	hevcPicture  = "4401c172b46240"
	av1Sequence  = "0a0a00000003b5feb36be401"
)

func avcSets() (sequence, picture []byte) {
	return []byte{
		0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
	}, []byte{0x68, 0xcb, 0x83, 0xcb, 0x20}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const unit40 = 40 * time.Millisecond

// Each codec as the library's writer puts it on the wire: H.264 and AAC as ever, the
// others as Enhanced RTMP has them.
func TestPublish(t *testing.T) {
	t.Parallel()
	sequence, picture := avcSets()
	opusTrack := &gortmplib.Track{Codec: &codecs.Opus{IDHeader: &opus.IDHeader{Version: 1, ChannelCount: 2, PreSkip: 312, InputSampleRate: 48000}}}
	for name, test := range map[string]struct {
		video     *gortmplib.Track
		write     func(w *gortmplib.Writer, track *gortmplib.Track, dts time.Duration, key bool) error
		codec     hub.Codec
		width     int
		key, next []byte
		offset    int64 // of the key picture, milliseconds
	}{
		"H.264": {
			video: &gortmplib.Track{Codec: &codecs.H264{SPS: sequence, PPS: picture}},
			write: func(w *gortmplib.Writer, track *gortmplib.Track, dts time.Duration, key bool) error {
				if key {
					return w.WriteH264(track, dts+2*unit40, dts, [][]byte{{0x65, 0x88, 1}})
				}
				return w.WriteH264(track, dts, dts, [][]byte{{0x41, 0x9a, 2}})
			},
			codec: hub.H264, width: 1920, key: []byte{0, 0, 0, 3, 0x65, 0x88, 1}, next: []byte{0, 0, 0, 3, 0x41, 0x9a, 2}, offset: 80,
		},
		"HEVC": {
			video: &gortmplib.Track{Codec: &codecs.H265{VPS: unhex(t, hevcVideo), SPS: unhex(t, hevcSequence), PPS: unhex(t, hevcPicture)}},
			write: func(w *gortmplib.Writer, track *gortmplib.Track, dts time.Duration, key bool) error {
				if key {
					return w.WriteH265(track, dts+unit40, dts, [][]byte{{19 << 1, 1, 0x80, 1}}) // CodedFrames
				}
				return w.WriteH265(track, dts, dts, [][]byte{{2, 1, 0x80, 2}}) // CodedFramesX
			},
			codec: hub.H265, width: 192, key: []byte{0, 0, 0, 4, 19 << 1, 1, 0x80, 1}, next: []byte{0, 0, 0, 4, 2, 1, 0x80, 2}, offset: 40,
		},
		"AV1": {
			video: &gortmplib.Track{Codec: &codecs.AV1{}},
			write: func(w *gortmplib.Writer, track *gortmplib.Track, dts time.Duration, key bool) error {
				if key {
					return w.WriteAV1(track, dts, [][]byte{append([]byte{8}, unhex(t, av1Sequence)[2:]...), {0x30, 0x10, 1}})
				}
				return w.WriteAV1(track, dts, [][]byte{{0x30, 0x30, 2}})
			},
			codec: hub.AV1, width: 192, key: append(unhex(t, av1Sequence), 0x32, 2, 0x10, 1), next: []byte{0x32, 2, 0x30, 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk()
			c := dial(t, d.serve(t), "/live/key?backup=1", true)
			w := &gortmplib.Writer{Conn: c, Tracks: []*gortmplib.Track{test.video, opusTrack}}
			must(t, w.Initialize())
			must(t, test.write(w, test.video, time.Second, true))
			must(t, w.WriteOpus(opusTrack, time.Second, []byte{0xfc, 7}))
			must(t, test.write(w, test.video, time.Second+unit40, false))
			if got := <-d.joined; got.Protocol != "rtmp" || !got.Backup || got.Remote == "" {
				t.Errorf("joined as %+v", got)
			}
			r := d.out.Read()
			tracks := next(t, r).Tracks
			if len(tracks) != 2 || tracks[0].Codec != test.codec || tracks[0].Width != test.width || tracks[1].Codec != hub.Opus || tracks[1].Channels != 2 || tracks[1].Clock != 48000 {
				t.Fatalf("tracks %+v", tracks)
			}
			key, sound, following := next(t, r).Unit, next(t, r).Unit, next(t, r).Unit
			if !key.Key || !bytes.Equal(key.Data, test.key) || key.PTS-key.DTS != test.offset*90 {
				t.Errorf("the key picture is %+v, want %x", key, test.key)
			}
			if sound.Track != 1 || !bytes.Equal(sound.Data, []byte{0xfc, 7}) {
				t.Errorf("the sound is %+v", sound)
			}
			if following.Key || !bytes.Equal(following.Data, test.next) || following.DTS-key.DTS != 40*90 || following.PTS != following.DTS {
				t.Errorf("the next picture is %+v, want %x", following, test.next)
			}
		})
	}
}

// Of several tracks the first is taken; what is not known is refused with a word that
// helps.
func TestTags(t *testing.T) {
	t.Parallel()
	many := func(form byte, packet byte, rest ...byte) []byte {
		return append([]byte{0x96, form<<4 | packet}, rest...)
	}
	for name, test := range map[string]struct {
		video bool
		body  []byte
		want  tag
		code  fault.Code
	}{
		"H.264":                    {true, []byte{0x17, 1, 0xff, 0xff, 0xd8, 9}, tag{codec: hub.H264, offset: -40, data: []byte{9}}, ""},
		"its configuration":        {true, []byte{0x17, 0, 0, 0, 0, 9}, tag{codec: hub.H264, start: true, data: []byte{9}}, ""},
		"its end":                  {true, []byte{0x17, 2, 0, 0, 0}, tag{}, ""},
		"HEVC with a number":       {true, []byte{0x1c, 1, 0, 0, 40, 9}, tag{codec: hub.H265, offset: 40, data: []byte{9}}, ""},
		"Sorenson":                 {true, []byte{0x12, 1, 0, 0, 0, 9}, tag{}, fault.Invalid},
		"a command":                {true, []byte{0x57, 1}, tag{}, ""},
		"AVC with a FourCC":        {true, []byte("\x91avc1\x00\x00\x28\x09"), tag{codec: hub.H264, offset: 40, data: []byte{9}}, ""},
		"HEVC":                     {true, []byte("\x91hvc1\x00\x00\x28\x09"), tag{codec: hub.H265, offset: 40, data: []byte{9}}, ""},
		"HEVC without an offset":   {true, []byte("\xa3hvc1\x09"), tag{codec: hub.H265, data: []byte{9}}, ""},
		"AV1":                      {true, []byte("\x91av01\x09"), tag{codec: hub.AV1, data: []byte{9}}, ""},
		"VP9":                      {true, []byte("\x91vp09\x09"), tag{}, fault.Invalid},
		"metadata of colours":      {true, []byte("\x94hvc1\x02\x00"), tag{}, ""},
		"cut short":                {true, []byte("\x91hv"), tag{}, fault.Internal},
		"finer timestamps":         {true, []byte("\x97\x02\x00\x00\x01\x03hvc1\x09"), tag{codec: hub.H265, data: []byte{9}}, ""},
		"finer, cut short":         {true, []byte("\x97\x02\x00\x00"), tag{}, fault.Internal},
		"one track":                {true, many(0, 1, []byte("hvc1\x00\x00\x00\x28\x09")...), tag{codec: hub.H265, offset: 40, data: []byte{9}}, ""},
		"another track":            {true, many(0, 1, []byte("hvc1\x01\x00\x00\x28\x09")...), tag{}, ""},
		"tracks of a codec":        {true, many(1, 3, []byte("hvc1\x01\x00\x00\x01\x08\x00\x00\x00\x01\x09")...), tag{codec: hub.H265, data: []byte{9}}, ""},
		"tracks of several codecs": {true, many(2, 3, []byte("vp09\x01\x00\x00\x01\x08hvc1\x00\x00\x00\x01\x09")...), tag{codec: hub.H265, data: []byte{9}}, ""},
		"tracks cut short":         {true, many(2, 3, []byte("hvc1\x00\x00\x00\x02\x09")...), tag{}, fault.Internal},
		"AAC":                      {false, []byte{0xaf, 1, 9}, tag{codec: hub.AAC, data: []byte{9}}, ""},
		"its configuration too":    {false, []byte{0xaf, 0, 9}, tag{codec: hub.AAC, start: true, data: []byte{9}}, ""},
		"MP3":                      {false, []byte{0x2f, 1, 9}, tag{}, fault.Invalid},
		"Opus":                     {false, []byte("\x91Opus\x09"), tag{codec: hub.Opus, data: []byte{9}}, ""},
		"AAC with a FourCC":        {false, []byte("\x90mp4a\x09"), tag{codec: hub.AAC, start: true, data: []byte{9}}, ""},
		"FLAC":                     {false, []byte("\x91fLaC\x09"), tag{}, fault.Invalid},
		"how channels lie":         {false, []byte("\x94Opus\x01\x02"), tag{}, ""},
		"several tracks":           {false, []byte("\x95\x01Opus\x00\x09"), tag{codec: hub.Opus, data: []byte{9}}, ""},
		"nothing":                  {false, nil, tag{}, ""},
	} {
		read := audioTag
		if test.video {
			read = videoTag
		}
		first := &track{known: true}
		got, err := read(test.body, first)
		if got.codec != test.want.codec || got.start != test.want.start || got.offset != test.want.offset || !bytes.Equal(got.data, test.want.data) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
		if (err == nil) != (test.code == "") || (err != nil && fault.CodeOf(err) != test.code) {
			t.Errorf("%s: %v, want %q", name, err, test.code)
		}
	}
}

// Whatever comes: it is read to its end, and nothing breaks behind it.
func FuzzPublisher(f *testing.F) {
	sequence, picture := avcSets()
	f.Add(true, append([]byte{0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x28, 0xff, 0xe1, 0, byte(len(sequence))}, append(sequence, append([]byte{1, 0, byte(len(picture))}, picture...)...)...))
	f.Add(true, []byte{0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0x88})
	f.Add(true, []byte("\x96\x21vp09\x01\x00\x00\x01\x08hvc1\x00\x00\x00\x01\x09"))
	f.Add(false, []byte{0xaf, 0, 0x11, 0x90})
	f.Add(false, []byte("\x90OpusOpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, video bool, data []byte) {
		d := newDesk()
		feed := d.channel.Connect(time.Unix(1, 0))
		d.channel.Take(feed)
		p := newPublisher(input{feed})
		_ = p.in.Video(hub.H264, nil)
		for i, kind := range []byte{audioMessage, videoMessage, dataAMF0, commandAMF0} {
			if video == (kind == audioMessage) {
				continue
			}
			_ = p.message(message{kind, uint32(i), data}, time.Unix(2, 0)) // refused or not
		}
	})
}

// From the wire to the hub there is one allocation for a picture or a frame: the copy
// that readers share.
func TestPublishAllocates(t *testing.T) {
	d := newDesk()
	feed := d.channel.Connect(time.Unix(1, 0))
	d.channel.Take(feed)
	p := newPublisher(input{feed})
	wire, config := flow()
	r := newReader(config)
	now := time.Unix(1, 0)
	for range 2 {
		m, err := r.next()
		must(t, err)
		must(t, p.message(m, now))
	}
	r = newEndless(wire)
	stamp := uint32(0)
	one := func() {
		m, err := r.next()
		must(t, err)
		stamp += 20
		m.stamp, now = stamp, now.Add(20*time.Millisecond)
		must(t, p.message(m, now))
	}
	one()
	if !feed.Started() {
		t.Fatal("nothing is on air")
	}
	if n := testing.AllocsPerRun(1000, one); n > 1 {
		t.Errorf("%v allocations a unit, want one", n)
	}
	if drops := feed.Report().Drops; drops > 0 {
		t.Errorf("%d units were dropped", drops)
	}
}

// BenchmarkPublish is a stream of pictures of 8 KiB and sound, from the wire to the hub.
func BenchmarkPublish(b *testing.B) {
	d := newDesk()
	feed := d.channel.Connect(time.Unix(1, 0))
	d.channel.Take(feed)
	p := newPublisher(input{feed})
	wire, config := flow()
	r := newReader(config)
	now := time.Unix(1, 0)
	for range 2 {
		m, err := r.next()
		must(b, err)
		must(b, p.message(m, now))
	}
	r = newEndless(wire)
	stamp := uint32(0)
	b.SetBytes(int64(len(wire)) / 2)
	b.ReportAllocs()
	for b.Loop() {
		m, err := r.next()
		must(b, err)
		stamp += 20
		m.stamp, now = stamp, now.Add(20*time.Millisecond)
		must(b, p.message(m, now))
	}
}
