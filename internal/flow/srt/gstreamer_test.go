package srt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"liuyun/internal/av/bits"
	"liuyun/internal/testkit"
)

// GStreamer sends, with either sound, and reads: another muxer of transport streams and
// another demuxer.
func TestGStreamer(t *testing.T) {
	t.Parallel()
	gst := testkit.Program(t, "gst-launch-1.0")
	for name, sound := range map[string]string{"aac": "voaacenc ! aacparse", "opus": "opusenc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk()
			address := start(t, d, "", 120*time.Millisecond)
			run(t, gst, strings.Fields("-q mpegtsmux name=mux alignment=7 ! srtsink uri=srt://"+address+"?mode=caller streamid=publish:lys_key wait-for-connection=true "+
				"videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! h264parse ! mux. "+
				"audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! "+sound+" ! mux.")...)
			testkit.Until(t, 2*time.Minute, "sending", func() bool { pictures, sounds, _, _ := sent(d); return pictures > 30 && sounds > 30 })
			path := filepath.Join(t.TempDir(), "read.h264")
			run(t, gst, strings.Fields("-q srtsrc uri=srt://"+address+"?mode=caller streamid=read:str_1 ! tsdemux ! h264parse ! video/x-h264,stream-format=byte-stream ! filesink location="+path)...)
			testkit.Until(t, 2*time.Minute, "reading", func() bool {
				read, err := os.ReadFile(path)
				slices := 0
				for _, unit := range bits.AppendAnnexB(nil, read) {
					if kind := unit[0] & 0x1f; kind == 1 || kind == 5 {
						slices++
					}
				}
				return err == nil && slices > 30
			})
		})
	}
}
