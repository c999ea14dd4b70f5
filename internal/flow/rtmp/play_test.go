package rtmp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	rtmpmessage "github.com/bluenviron/gortmplib/pkg/message"
	mediaopus "github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"

	"liuyun/internal/av/h264"
	"liuyun/internal/flow/hub"
	"liuyun/internal/testkit"
)

// avcTracks are H.264 of 1920 × 1080 and AAC of 48 kHz.
func avcTracks(t testing.TB) []hub.Track {
	t.Helper()
	sequence, picture := avcSets()
	config, err := h264.Config([][]byte{sequence}, [][]byte{picture})
	must(t, err)
	return []hub.Track{
		{Codec: hub.H264, Clock: 90000, Config: config, Width: 1920, Height: 1080},
		{Codec: hub.AAC, Clock: 48000, Config: []byte{0x11, 0x90}, Channels: 2},
	}
}

// goodbye reads until the server says its last word, and returns that.
func goodbye(c *gortmplib.Client) string {
	for {
		m, err := c.Read()
		if err != nil {
			return err.Error()
		}
		if command, ok := m.(*rtmpmessage.CommandAMF0); ok && command.Name == "onStatus" {
			if text := fmt.Sprint(command.Arguments...); strings.Contains(text, "Stop") || strings.Contains(text, "NotFound") {
				return text
			}
		}
	}
}

// media reads the next message of media or metadata.
func media(t *testing.T, c *gortmplib.Client) rtmpmessage.Message {
	t.Helper()
	for {
		m, err := c.Read()
		must(t, err)
		switch m.(type) {
		case *rtmpmessage.CommandAMF0, *rtmpmessage.UserControlStreamBegin, *rtmpmessage.UserControlStreamIsRecorded, *rtmpmessage.SetChunkSize, *rtmpmessage.SetWindowAckSize, *rtmpmessage.SetPeerBandwidth:
		default:
			return m
		}
	}
}

// A viewer gets what decoders are set up with, then units from the newest key frame on,
// whose time begins at 0; with pictures of more than one chunk, and times of more than
// 24 bits.
func TestPlay(t *testing.T) {
	t.Parallel()
	d := newDesk()
	tracks := avcTracks(t)
	const start = 90000 * 3600
	large := bytes.Repeat([]byte{1, 2, 3}, 100_000)
	d.out.Begin(tracks)
	d.out.Write(hub.Unit{DTS: start, PTS: start + 7200, Key: true, Data: []byte{0, 0, 0, 2, 0x65, 0x88}})
	d.out.Write(hub.Unit{Track: 1, DTS: 48000*3600 - 1024, Key: true, Data: []byte{8}})
	d.out.Write(hub.Unit{Track: 1, DTS: 48000 * 3600, Key: true, Data: []byte{9}})
	d.out.Write(hub.Unit{DTS: start + 3600, PTS: start + 3600, Data: large})
	c := dial(t, d.serve(t), "/play/stream?token=token", false)
	info, ok := media(t, c).(*rtmpmessage.DataAMF0)
	if !ok || fmt.Sprint(info.Payload[0]) != "onMetaData" {
		t.Fatalf("first comes %+v", info)
	}
	if width, _ := amf0.Object(info.Payload[1].(amf0.ECMAArray)).GetFloat64("width"); width != 1920 {
		t.Errorf("metadata %+v", info.Payload)
	}
	if m := media(t, c).(*rtmpmessage.Video); m.Type != rtmpmessage.VideoTypeConfig || m.AVCConfig == nil {
		t.Errorf("then comes %+v", m)
	}
	if m := media(t, c).(*rtmpmessage.Audio); m.AACConfig == nil || m.AACConfig.SampleRate != 48000 {
		t.Errorf("then comes %+v", m)
	}
	if m := media(t, c).(*rtmpmessage.Video); !m.IsKeyFrame || m.DTS != 0 || m.PTSDelta != 80*time.Millisecond || !bytes.Equal(m.AU, []byte{0, 0, 0, 2, 0x65, 0x88}) {
		t.Errorf("the first picture is %+v", m)
	}
	if m := media(t, c).(*rtmpmessage.Audio); m.DTS != 0 || !bytes.Equal(m.AU, []byte{9}) {
		t.Errorf("the sound is %+v", m)
	}
	if m := media(t, c).(*rtmpmessage.Video); m.IsKeyFrame || m.DTS != 40*time.Millisecond || m.PTSDelta != 0 || !bytes.Equal(m.AU, large) {
		t.Errorf("the second picture is at %s + %s, of %d bytes", m.DTS, m.PTSDelta, len(m.AU))
	}
	const late = 5 * 90000 * 3600
	d.out.Write(hub.Unit{DTS: start + late, PTS: start + late, Key: true, Data: large})
	if m := media(t, c).(*rtmpmessage.Video); !m.IsKeyFrame || m.DTS != 5*time.Hour || !bytes.Equal(m.AU, large) {
		t.Errorf("five hours later comes a picture at %s, of %d bytes", m.DTS, len(m.AU))
	}
	d.out.End(nil)
	if why := goodbye(c); !strings.Contains(why, "ended") {
		t.Errorf("the last word is %q", why)
	}
}

// The other codecs go as Enhanced RTMP has them.
func TestPlayEnhanced(t *testing.T) {
	t.Parallel()
	d := newDesk()
	address := d.serve(t)
	up := dial(t, address, "/live/key", true)
	pictures := &gortmplib.Track{Codec: &codecs.H265{VPS: unhex(t, hevcVideo), SPS: unhex(t, hevcSequence), PPS: unhex(t, hevcPicture)}}
	sound := &gortmplib.Track{Codec: &codecs.Opus{IDHeader: &mediaopus.IDHeader{Version: 1, ChannelCount: 2, PreSkip: 312, InputSampleRate: 48000}}}
	w := &gortmplib.Writer{Conn: up, Tracks: []*gortmplib.Track{pictures, sound}}
	must(t, w.Initialize())
	must(t, w.WriteH265(pictures, time.Second+40*time.Millisecond, time.Second, [][]byte{{19 << 1, 1, 0x80, 1}}))
	must(t, w.WriteOpus(sound, time.Second, []byte{0xfc, 7}))
	r := d.out.Read()
	for range 3 {
		next(t, r)
	}
	c := dial(t, address, "/play/stream?token=token", false)
	media(t, c)
	if m := media(t, c).(*rtmpmessage.VideoExSequenceStart); m.FourCC != rtmpmessage.FourCCHEVC || len(m.HEVCConfig.NaluArrays) != 3 {
		t.Errorf("pictures are set up by %+v", m)
	}
	if m := media(t, c).(*rtmpmessage.AudioExSequenceStart); m.FourCC != rtmpmessage.FourCCOpus || m.OpusConfig.ChannelCount != 2 || m.OpusConfig.PreSkip != 312 {
		t.Errorf("sound is set up by %+v", m)
	}
	if m := media(t, c).(*rtmpmessage.VideoExCodedFrames); m.FourCC != rtmpmessage.FourCCHEVC || m.PTSDelta != 40*time.Millisecond || !bytes.Equal(m.Payload, []byte{0, 0, 0, 4, 19 << 1, 1, 0x80, 1}) {
		t.Errorf("the picture is %+v", m)
	}
	if m := media(t, c).(*rtmpmessage.AudioExCodedFrames); m.FourCC != rtmpmessage.FourCCOpus || string(m.Payload) != "\xfc\x07" {
		t.Errorf("the sound is %+v", m)
	}
}

func TestPlayRefused(t *testing.T) {
	t.Parallel()
	c := dial(t, newDesk().serve(t), "/play/stream?token=other", false)
	if why := goodbye(c); !strings.Contains(why, "there is no stream") {
		t.Errorf("a viewer without a token is told %q", why)
	}
}

// A viewer who takes nothing keeps nobody waiting, and goes on at a key frame.
func TestPlaySlow(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.out.Begin(avcTracks(t))
	d.out.Write(hub.Unit{Key: true, Data: make([]byte, 1<<20)})
	c := dial(t, d.serve(t), "/play/stream?token=token", false)
	for range 3 {
		media(t, c)
	}
	last := int64(0)
	for n := range int64(200) { // far more than sockets and the hub hold
		last = n * 3600
		d.out.Write(hub.Unit{DTS: last, PTS: last, Key: n%3 == 0, Data: make([]byte, 1<<20)})
	}
	seen, after := 0, time.Duration(-1)
	for at := time.Duration(-1); at < time.Duration(last/90)*time.Millisecond; seen++ {
		m, ok := media(t, c).(*rtmpmessage.Video)
		if !ok {
			continue
		}
		if at >= 0 && m.DTS > at+40*time.Millisecond && !m.IsKeyFrame {
			t.Errorf("after %s comes %s, no key frame", at, m.DTS)
		}
		at, after = m.DTS, m.DTS
	}
	if seen >= 200 {
		t.Errorf("%d pictures were held for one viewer, until %s", seen, after)
	}
}

// ffmpeg reads it, encrypted and not, with pictures that refer to later ones.
func TestPlayFFmpeg(t *testing.T) {
	t.Parallel()
	ffmpeg := testkit.FFmpeg(t)
	d := newDesk()
	address := d.serve(t)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS()
	t.Cleanup(certificates.Close)
	secure := d.serveOn(t, tls.NewListener(socket, &tls.Config{Certificates: certificates.TLS.Certificates}))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	push := exec.CommandContext(ctx, ffmpeg, "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-re", "-f", "lavfi", "-i", "sine=sample_rate=48000",
		"-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "25", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "flv", "rtmps://"+secure+"/live/key")
	must(t, push.Start())
	defer func() { push.Process.Kill(); push.Wait() }()
	next(t, d.out.Read())
	for _, from := range []string{"rtmp://" + address, "rtmps://" + secure} {
		read := exec.CommandContext(ctx, ffmpeg, "-nostdin", "-v", "warning", "-i", from+"/play/stream?token=token", "-t", "2", "-f", "framecrc", "-")
		var problems bytes.Buffer
		read.Stderr = &problems
		out, err := read.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		pictures := strings.Count(string(out), "\n0,")
		if err != nil || problems.Len() > 0 || pictures < 48 || pictures > 51 || strings.Count(string(out), "\n1,") < 80 {
			t.Errorf("%s: %v, %s%d pictures\n%s", from, err, &problems, pictures, out)
		}
	}
}

// sink is a connection that takes everything.
type sink struct{ net.Conn }

func (sink) Write(p []byte) (int, error)      { return len(p), nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }

// What is sent to a viewer is not allocated.
func TestPlayDoesNotAllocate(t *testing.T) {
	p := &player{c: &connection{net: sink{}}, sent: func(int64) {}}
	must(t, p.begin(avcTracks(t)))
	must(t, p.flush())
	data := make([]byte, 200_000)
	at := int64(90000) // behind what grows once
	p.unit(&hub.Unit{DTS: at, PTS: at, Data: data})
	must(t, p.flush())
	if n := testing.AllocsPerRun(100, func() {
		at += 3600
		p.unit(&hub.Unit{DTS: at, PTS: at, Data: data})
		p.unit(&hub.Unit{Track: 1, DTS: at * 48 / 90, PTS: at * 48 / 90, Data: data[:200]})
		must(t, p.flush())
	}); n != 0 {
		t.Errorf("%v allocations a write, want none", n)
	}
}
