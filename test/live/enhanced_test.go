package live

import (
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	mediaopus "github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"liuyun/client"
	"liuyun/internal/av/av1"
	"liuyun/internal/av/bits"
	"liuyun/internal/av/h265"
	"liuyun/internal/av/opus"
	"liuyun/internal/testkit"
)

// encode makes ten seconds of pictures of 25 a second, with a key frame each second.
func encode(t *testing.T, arguments ...string) []byte {
	t.Helper()
	arguments = append([]string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-t", "10", "-pix_fmt", "yuv420p", "-g", "25"}, arguments...)
	out, err := exec.CommandContext(t.Context(), testkit.FFmpeg(t), append(arguments, "-")...).Output()
	testkit.Need(t, err == nil, fmt.Sprintf("ffmpeg does not encode with %q: %v", arguments, err))
	return out
}

// hevcPictures splits a stream of access units with delimiters.
func hevcPictures(stream []byte) (pictures [][][]byte) {
	const delimiter = 35
	for _, unit := range bits.AppendAnnexB(nil, stream) {
		if unit[0]>>1&0x3f == delimiter || len(pictures) == 0 {
			pictures = append(pictures, nil)
		}
		last := len(pictures) - 1
		pictures[last] = append(pictures[last], unit)
	}
	return pictures
}

// av1Pictures splits a stream of temporal units with delimiters.
func av1Pictures(t *testing.T, stream []byte) (pictures [][][]byte) {
	t.Helper()
	units, err := av1.Split(nil, stream)
	if err != nil {
		t.Fatal(err)
	}
	const delimiter = 2
	for _, unit := range units {
		if unit[0]>>3&0xf == delimiter {
			pictures = append(pictures, nil)
			continue
		}
		payload := 2 // behind the header and the size, which the library writes itself
		for unit[payload-1]&0x80 != 0 {
			payload++
		}
		const sized = 2
		bare := append([]byte{unit[0] &^ sized}, unit[payload:]...)
		last := len(pictures) - 1
		pictures[last] = append(pictures[last], bare)
	}
	return pictures
}

// hevcTrack is set up by the parameter sets of the first picture.
func hevcTrack(picture [][]byte) *gortmplib.Track {
	c := &codecs.H265{}
	for _, unit := range picture {
		switch {
		case h265.Look(unit).Role != bits.Parameters:
		case c.VPS == nil:
			c.VPS = unit
		case c.SPS == nil:
			c.SPS = unit
		case c.PPS == nil:
			c.PPS = unit
		}
	}
	return &gortmplib.Track{Codec: c}
}

// Pictures of HEVC and AV1 with Opus, by Enhanced RTMP as an encoder in another program
// writes it, are played as HLS.
func TestEnhanced(t *testing.T) {
	t.Parallel() // it waits most of the time
	testkit.FFprobe(t)
	hevc := hevcPictures(encode(t, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "aud=1:log-level=none:bframes=0:repeat-headers=1", "-f", "hevc"))
	tiny := av1Pictures(t, encode(t, "-c:v", "libsvtav1", "-preset", "12", "-f", "obu"))
	c := start(t, filepath.Join(t.TempDir(), "data"))
	for name, test := range map[string]struct {
		pictures [][][]byte
		track    *gortmplib.Track
		write    func(*gortmplib.Writer, *gortmplib.Track, time.Duration, [][]byte) error
	}{
		"hevc": {hevc, hevcTrack(hevc[0]), func(w *gortmplib.Writer, track *gortmplib.Track, at time.Duration, picture [][]byte) error {
			return w.WriteH265(track, at, at, picture)
		}},
		"av1": {tiny, &gortmplib.Track{Codec: &codecs.AV1{}}, (*gortmplib.Writer).WriteAV1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.newStream(t)
			sound := &gortmplib.Track{Codec: &codecs.Opus{IDHeader: &mediaopus.IDHeader{Version: 1, ChannelCount: 2, PreSkip: 312, InputSampleRate: 48000}}}
			w := dial(t, ingest(s, s.Ingest.RTMP.Key), test.track, sound)
			begun := time.Now()
			for i, picture := range test.pictures {
				at := time.Duration(i) * 40 * time.Millisecond
				err := test.write(w, test.track, at, picture)
				for _, more := range []time.Duration{0, 20 * time.Millisecond} {
					if err == nil {
						err = w.WriteOpus(sound, at+more, opus.Plain(2).Silence())
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(begun.Add(at))) // as an encoder does
			}
			c.await(t, s.ID, client.StreamLive)
			master := c.Resolve(s.Playback.HLS)
			c.playable(t, master)
			probe(t, master, name)
		})
	}
}

// dial is an encoder that has said what it will send.
func dial(t *testing.T, address string, tracks ...*gortmplib.Track) *gortmplib.Writer {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn := &gortmplib.Client{URL: u, Publish: true}
	if err := conn.Initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	w := &gortmplib.Writer{Conn: conn, Tracks: tracks}
	if err := w.Initialize(); err != nil {
		t.Fatal(err)
	}
	return w
}

// probe has ffmpeg decode the first three seconds.
func probe(t *testing.T, master, codec string) {
	t.Helper()
	pictures, sounds := 0, 0
	tracks := decoded(t, master, threeSeconds()...)
	for _, track := range tracks {
		switch track.codec {
		case codec:
			pictures += track.frames
		case "opus", "aac":
			sounds += track.frames
		}
	}
	if pictures != 75 || sounds < 130 { // a packet of Opus is 20 ms, a frame of AAC 21
		t.Errorf("ffprobe decodes of three seconds %+v", tracks)
	}
}
