package rtsp

import (
	"slices"
	"strings"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ingest/ingesttest"
	"liuyun/internal/testkit"
)

// orderly checks the times of what came: pictures are decoded one after the other, as
// they are shown once the delay is known, and sound begins beside pictures.
func orderly(t *testing.T, in *ingesttest.Input) {
	t.Helper()
	noted := in.Now()
	var shown []int64
	late := 0
	for n, p := range noted.Pictures {
		shown = append(shown, p.PTS)
		if n > 0 && p.DTS <= noted.Pictures[n-1].DTS {
			t.Errorf("picture %d is decoded at %d, the one before at %d", n, p.DTS, noted.Pictures[n-1].DTS)
		}
		if n >= mostDelay && p.DTS > p.PTS {
			late++
		}
	}
	if late > 0 {
		t.Errorf("%d pictures are shown before they are decoded", late)
	}
	slices.Sort(shown)
	const picture = ingest.Timescale / 25
	for n := 1; n < len(shown); n++ {
		if step := shown[n] - shown[n-1]; step < picture-90 || step > picture+90 {
			t.Errorf("picture %d is shown %d ticks after the one before", n, step)
			break
		}
	}
	if len(noted.Sounds) > 0 {
		if apart := noted.Sounds[0].PTS - shown[0]; max(apart, -apart) > ingest.Timescale/10 {
			t.Errorf("sound begins %d ticks after pictures", apart)
		}
	}
}

// What ffmpeg pushes comes in, over both transports and in all codecs.
func TestFFmpegPushes(t *testing.T) {
	t.Parallel()
	ordered := []string{"-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-b_strategy", "0", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2"}
	for name, c := range map[string]struct {
		args         []string
		video, audio hub.Codec
	}{
		"tcp":       {slices.Concat(plain(), []string{"-rtsp_transport", "tcp"}), hub.H264, hub.AAC},
		"udp":       {slices.Concat(plain(), []string{"-rtsp_transport", "udp"}), hub.H264, hub.AAC},
		"reordered": {slices.Concat(ordered, []string{"-rtsp_transport", "tcp"}), hub.H264, hub.AAC},
		"latm":      {slices.Concat(plain(), []string{"-rtsp_transport", "tcp", "-rtpflags", "latm"}), hub.H264, hub.AAC},
		"hevc": {[]string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:pools=1:log-level=error", "-pix_fmt", "yuv420p",
			"-c:a", "libopus", "-ac", "2", "-rtsp_transport", "tcp"}, hub.H265, hub.Opus},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk()
			address, _ := serve(t, d)
			f := encode(t, 4, slices.Concat(c.args, []string{"-f", "rtsp", "rtsp://" + address + "/live/" + goodKey + "?backup=1"})...)
			in := d.Await(t, 1)
			if in.From.Protocol != "rtsp" || !strings.HasPrefix(in.From.Encoder, "Lavf") || !in.From.Backup || in.From.Remote == "" {
				t.Errorf("the connection is %+v", in.From)
			}
			if err := f.wait(t); err != nil {
				t.Errorf("ffmpeg: %v", err)
			}
			left(t, in)
			await(t, in, 98, 180) // over UDP the last ones may be cut off by the farewell
			orderly(t, in)
			tracks := firstTracks(t, d.Out)
			if len(tracks) != 2 || tracks[0].Codec != c.video || tracks[1].Codec != c.audio || tracks[0].Width != 320 || tracks[1].Channels != 2 {
				t.Errorf("the tracks are %+v", tracks)
			}
		})
	}
}

func firstTracks(t *testing.T, s *hub.Stream) []hub.Track {
	t.Helper()
	item, err := s.Read().Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return item.Tracks
}

// Who may not send is told why.
func TestPushRefused(t *testing.T) {
	t.Parallel()
	d := newDesk()
	address, log := serve(t, d)
	wrong := "lys_zyxwvutsrqponmlkjihgfedcba"
	f := encode(t, 4, slices.Concat(plain(), []string{"-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://" + address + "/live/" + wrong})...)
	if err := f.wait(t); err == nil || !strings.Contains(f.log.String(), "403") {
		t.Errorf("a wrong key: %v, %s", err, f.log.String())
	}
	if text := log.String(); !strings.Contains(text, "refused") || strings.Contains(text, wrong) {
		t.Errorf("the log says %s", text)
	}
	first := encode(t, 0, slices.Concat(plain(), []string{"-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://" + address + "/live/" + goodKey})...)
	in := d.Await(t, 1)
	await(t, in, 25, 0)
	second := encode(t, 4, slices.Concat(plain(), []string{"-f", "rtsp", "-rtsp_transport", "udp", "rtsp://" + address + "/live/" + goodKey})...)
	if err := second.wait(t); err == nil || !strings.Contains(second.log.String(), "another encoder sends to this stream") {
		t.Errorf("a second encoder: %v, %s", err, second.log.String())
	}
	in.From.Kick("the stream was deleted")
	if err := first.wait(t); err == nil {
		t.Error("an encoder that was sent away goes on")
	}
	left(t, in)
	if !strings.Contains(log.String(), "the stream was deleted") {
		t.Errorf("the log says %s", log.String())
	}
}

// What an input refuses ends the session.
func TestInputRefuses(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"tcp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			d := newDesk()
			address, log := serve(t, d)
			f := encode(t, 0, slices.Concat(plain(), []string{"-f", "rtsp", "-rtsp_transport", transport, "rtsp://" + address + "/live/" + goodKey})...)
			in := d.Await(t, 1)
			await(t, in, 10, 0)
			in.Refuse(fault.New(fault.Invalid, "no key frame has come"))
			left(t, in)
			if err := f.wait(t); err == nil {
				t.Error("the encoder goes on")
			}
			if !strings.Contains(log.String(), "no key frame has come") {
				t.Errorf("the log says %s", log.String())
			}
		})
	}
}

// GStreamer pushes too, over both transports.
func TestGStreamerPushes(t *testing.T) {
	t.Parallel()
	gst := testkit.Program(t, "gst-launch-1.0")
	for _, transport := range []string{"tcp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			d := newDesk()
			address, _ := serve(t, d)
			start(t, gst, "-q", "rtspclientsink", "name=s", "protocols="+transport, "location=rtsp://"+address+"/live/"+goodKey,
				"videotestsrc", "is-live=true", "!", "video/x-raw,width=320,height=180,framerate=25/1", "!", "x264enc", "tune=zerolatency", "speed-preset=ultrafast", "key-int-max=25", "!", "s.",
				"audiotestsrc", "is-live=true", "!", "audio/x-raw,rate=48000,channels=2", "!", "opusenc", "!", "s.")
			in := d.Await(t, 1)
			await(t, in, 75, 100)
			tracks := firstTracks(t, d.Out)
			if len(tracks) != 2 || tracks[0].Codec != hub.H264 || tracks[1].Codec != hub.Opus {
				t.Errorf("the tracks are %+v", tracks)
			}
		})
	}
}
