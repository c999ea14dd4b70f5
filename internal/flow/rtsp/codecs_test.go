package rtsp

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v5/pkg/description"
	"github.com/bluenviron/gortsplib/v5/pkg/format"
	"github.com/bluenviron/gortsplib/v5/pkg/sdpunmarshaler"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/rtp"

	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
)

// The size of an OBU goes in and out.
func TestOBUSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ bare, sized []byte }{
		{[]byte{0x08, 1, 2, 3}, []byte{0x0a, 3, 1, 2, 3}},
		{[]byte{0x0c, 0x08, 1, 2}, []byte{0x0e, 0x08, 2, 1, 2}},
		{[]byte{0x10}, []byte{0x12, 0}},
		{append([]byte{0x30}, make([]byte, 300)...), append([]byte{0x32, 0xac, 0x02}, make([]byte, 300)...)},
	} {
		if got := withSize(c.bare); !bytes.Equal(got, c.sized) {
			t.Errorf("%x becomes %x, want %x", c.bare, got, c.sized)
		}
		if got := withoutSize(c.sized); !bytes.Equal(got, c.bare) {
			t.Errorf("%x becomes %x, want %x", c.sized, got, c.bare)
		}
	}
	if got := withSize([]byte{0x0c}); got != nil {
		t.Errorf("an OBU without its extension becomes %x", got)
	}
}

// What is packed is unpacked as it was: all codecs, packets of every size.
func TestPacketsAndBack(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte{7}, 5000)
	nal := func(header ...byte) []byte {
		unit := append(header, large...)
		return append([]byte{0, 0, byte(len(unit) >> 8), byte(len(unit))}, unit...)
	}
	for name, c := range map[string]struct {
		track hub.Track
		unit  hub.Unit
		want  [][]byte
	}{
		"h264": {fakeStreamTracks(t)[0], hub.Unit{Data: append(nal(0x41), nal(0x41, 9)...)}, [][]byte{nal(0x41)[4:], nal(0x41, 9)[4:]}},
		"av1": {hub.Track{Codec: hub.AV1, Clock: 90000}, hub.Unit{Data: append([]byte{0x0a, 2, 1, 2}, append([]byte{0x32, 0x88, 0x27}, large...)...)},
			[][]byte{{0x0a, 2, 1, 2}, append([]byte{0x32, 0x88, 0x27}, large...)}},
		"aac":  {hub.Track{Codec: hub.AAC, Clock: 48000, Config: []byte{0x11, 0x90}}, hub.Unit{Data: large[:1000]}, [][]byte{large[:1000]}},
		"opus": {hub.Track{Codec: hub.Opus, Clock: 48000, Channels: 2}, hub.Unit{Data: []byte{0xf8, 1}}, [][]byte{{0xf8, 1}}},
	} {
		p, err := packetizerOf(c.track, 96)
		if err != nil {
			t.Fatal(name, err)
		}
		back := depacketizerOf(p.form())
		if back == nil {
			t.Fatal(name, "is not taken back")
		}
		packets, err := p.pack(c.unit)
		if err != nil {
			t.Fatal(name, err)
		}
		var frames []frame
		for _, packet := range packets {
			if len(packet.Payload) > 1460 {
				t.Errorf("%s: a packet of %d bytes", name, len(packet.Payload))
			}
			if frames, err = back.take(packet); err != nil {
				t.Error(name, err)
			}
		}
		if len(frames) != 1 || fmt.Sprint(frames[0].units) != fmt.Sprint(c.want) {
			t.Errorf("%s: %d frames came back, want one of %d units", name, len(frames), len(c.want))
		}
	}
}

func fakeStreamTracks(t *testing.T) []hub.Track {
	t.Helper()
	d := fakeStream(t)
	writePicture(d.Out, 0, 10, true)
	return firstTracks(t, d.Out)
}

// Parameter sets of the description go before pictures that begin and have none.
func TestSetsOfTheDescription(t *testing.T) {
	t.Parallel()
	u := &units{codec: hub.H264, sets: [][]byte{{0x67}, {0x68}}}
	if got := u.withSets([][]byte{{6}, {0x65}}); len(got) != 4 || got[0][0] != 0x67 || got[2][0] != 6 {
		t.Errorf("%x", got)
	}
	for _, own := range [][][]byte{{{0x67}, {0x68}, {0x65}}, {{0x41}}, {{}}} {
		if got := u.withSets(own); len(got) != len(own) {
			t.Errorf("%x becomes %x", own, got)
		}
	}
}

// A second frame in a packet comes later; a config of nonsense is not taken.
func TestAAC(t *testing.T) {
	t.Parallel()
	config := &mpeg4audio.AudioSpecificConfig{}
	if err := config.Unmarshal([]byte{0x11, 0x90}); err != nil {
		t.Fatal(err)
	}
	a := newAAC(&format.MPEG4Audio{PayloadTyp: 96, Config: config, SizeLength: 13, IndexLength: 3, IndexDeltaLength: 3})
	frames, err := a.take(&rtp.Packet{Header: rtp.Header{Marker: true}, Payload: []byte{0, 32, 0, 2 << 3, 0, 1 << 3, 1, 2, 3}})
	if err != nil || len(frames) != 2 || frames[1].after != 1024 || !bytes.Equal(frames[1].units[0], []byte{3}) {
		t.Errorf("%v, %v", frames, err)
	}
	if newAAC(&format.MPEG4Audio{Config: config, SizeLength: 64}) != nil {
		t.Error("lengths of 64 bits are taken")
	}
}

// Parts of a temporal unit that never ends are not kept for ever.
func TestEndlessUnit(t *testing.T) {
	t.Parallel()
	o := newOBUs(&format.AV1{PayloadTyp: 96})
	var failed error
	for i := range mostPending + 1 {
		// An OBU that goes on in the next packet (Y), in packets that begin none (not Z).
		_, err := o.take(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i)}, Payload: []byte{0x50, 0x30, 1}})
		if err != nil {
			failed = err
		}
	}
	if failed == nil {
		t.Error("it is collected for ever")
	}
}

// readDescription reads a description as it comes.
func readDescription(t testing.TB, text string) *description.Session {
	t.Helper()
	read, err := sdpunmarshaler.Unmarshal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &description.Session{}
	if err := d.Unmarshal2(read); err != nil {
		t.Fatal(err)
	}
	return d
}

const sdpHead = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"

// Of a description the tracks are taken that can be.
func TestChoice(t *testing.T) {
	t.Parallel()
	h264Media := "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
	pcm := "m=audio 0 RTP/AVP 8\r\n"
	metadata := "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n"
	opusMedia := "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\na=fmtp:97 sprop-stereo=1\r\n"
	for text, want := range map[string]string{
		h264Media + pcm + metadata:             "1 tracks, 1 left out",
		h264Media + opusMedia:                  "2 tracks, 0 left out",
		opusMedia:                              "1 tracks, 0 left out",
		h264Media + h264Media + opusMedia:      "2 tracks, 1 left out",
		"m=video 0 RTP/AVP 26\r\n" + opusMedia: "refused: nothing that is sent can be taken",
		pcm:                                    "refused: nothing that is sent can be taken",
	} {
		r, leftOut, err := newReceiver(readDescription(t, sdpHead+text))
		got := ""
		if err != nil {
			got = "refused: " + err.Error()
		} else {
			got = fmt.Sprintf("%d tracks, %d left out", len(r.tracks), len(leftOut))
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// nothing is an input that takes everything.
type nothing struct{}

func (nothing) Expect(bool, bool)                     {}
func (nothing) Video(hub.Codec, []byte) error         { return nil }
func (nothing) Audio(hub.Codec, []byte) error         { return nil }
func (nothing) Picture(ingest.Picture) error          { return nil }
func (nothing) Sound(ingest.Sound) error              { return nil }
func (nothing) Splice([]byte, int64, time.Time) error { return nil }
func (nothing) Close()                                {}

// Packets of strangers, in all codecs, end nothing.
func FuzzPackets(f *testing.F) {
	d := sdpHead + "m=video 0 RTP/AVP 96\r\na=rtpmap:96 %s/90000\r\n" +
		"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 %s\r\n"
	aacFormat := "mpeg4-generic/48000/2\r\na=fmtp:97 streamtype=5; mode=AAC-hbr; config=1190; sizelength=13; indexlength=3; indexdeltalength=3"
	latmFormat := "MP4A-LATM/48000/2\r\na=fmtp:97 cpresent=0; config=400023203fc0"
	kinds := []string{fmt.Sprintf(d, "H264", aacFormat), fmt.Sprintf(d, "H265", latmFormat), fmt.Sprintf(d, "AV1", "opus/48000/2")}
	kinds[0] = strings.Replace(kinds[0], "m=audio", "a=fmtp:96 packetization-mode=1\r\nm=audio", 1)
	f.Add(uint8(0), []byte{4, 0x80, 0x65, 1, 2, 3, 2, 0x80, 0x7c, 0x85})
	f.Add(uint8(1), []byte{4, 0x80, 0x26, 1, 2, 3})
	f.Add(uint8(2), []byte{4, 0x80, 0x50, 0x30, 1, 2})
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		r, _, err := newReceiver(readDescription(t, kinds[int(kind)%len(kinds)]))
		if err != nil {
			t.Fatal(err)
		}
		r.failed = func(err error) { t.Error(err) }
		if err := r.begin(nothing{}); err != nil {
			t.Fatal(err)
		}
		for n := 0; len(data) >= 2; n++ {
			size := min(int(data[0]), len(data)-2)
			p := &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(n), Timestamp: uint32(n/3) * 3600, Marker: data[1]&0x80 != 0}, Payload: data[2 : 2+size]}
			r.packet(r.tracks[int(data[1]&1)%len(r.tracks)], p)
			data = data[2+size:]
		}
	})
}

// Lengths of frames in LATM are believed as far as there is something.
func FuzzLATM(f *testing.F) {
	f.Add([]byte{2, 1, 2})
	f.Add([]byte{255, 1, 0})
	f.Fuzz(func(t *testing.T, element []byte) {
		data, rest, err := cutLATM(element)
		if err == nil && (len(data) == 0 || len(data)+len(rest) >= len(element)) {
			t.Errorf("%x is %x and %x", element, data, rest)
		}
	})
}

// Strangers are few, of few bytes, and speak no HTTP.
func TestDoor(t *testing.T) {
	t.Parallel()
	d := newDoor()
	d.connections.MostOfOne, d.strangers.Most = 3, 2
	enter := func() (*connection, net.Conn) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close(); theirs.Close() })
		c, _ := d.enter(ours)
		return c, theirs
	}
	first, theirs := enter()
	second, _ := enter()
	if third, _ := enter(); third != nil {
		t.Error("a stranger too many is let in")
	}
	first.trust()
	third, _ := enter()
	if third == nil {
		t.Fatal("who is known counts as a stranger")
	}
	third.trust()
	if fourth, _ := enter(); fourth != nil {
		t.Error("an address has more than it may")
	}
	third.Close()
	third.Close()
	fifth, theirsToo := enter()
	if fifth == nil {
		t.Fatal("who has gone counts")
	}
	second.left = 3
	go theirsToo.Write([]byte("GET / HTTP/1.0\r\n"))
	if _, err := fifth.Read(make([]byte, 100)); err != errTunnel {
		t.Errorf("HTTP is answered: %v", err)
	}
	second.left = 0
	if _, err := second.Read(make([]byte, 10)); err != errTooMuch {
		t.Errorf("a stranger may talk on: %v", err)
	}
	go theirs.Write([]byte("OPTIONS"))
	first.left = 0
	if n, err := first.Read(make([]byte, 100)); n != 7 || err != nil {
		t.Errorf("who is known may not talk: %d, %v", n, err)
	}
}
