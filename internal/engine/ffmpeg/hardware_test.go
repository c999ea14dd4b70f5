package ffmpeg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/testkit"
)

// pretender is an ffmpeg that has encoders for hardware: it answers what it is asked
// about itself as the installed one, and works or fails by the encoder's name.
const pretender = `#!/bin/sh
case "$*" in
*-codecs*) cat <<'END'
 DEV.LS h264   H.264 (encoders: libx264 h264_nvenc h264_qsv h264_vaapi h264_v4l2m2m )
 DEV.L. hevc   HEVC (encoders: libx265 hevc_nvenc hevc_amf )
 DEV.L. av1    AV1 (encoders: libsvtav1 av1_nvenc )
 DEA.L. aac    AAC
END
;;
*-version*|*-filters*) exec FFMPEG "$@" ;;
*" h264_nvenc "*|*" hevc_nvenc "*) exit 0 ;;
*" av1_nvenc "*) echo "[av1_nvenc @ 0x55] [error] Codec not supported" >&2
  echo "[av1_nvenc @ 0x55] [error] No capable devices found" >&2; exit 1 ;;
*"-vaapi_device DEVICE "*"hwupload -c:v h264_vaapi "*) exit 0 ;;
*) exit 1 ;;
esac
`

// What works is what encodes a picture, whatever is listed.
func TestHardware(t *testing.T) {
	t.Parallel()
	device := write(t, "renderD128", "")
	c := DefaultConfig()
	c.FFprobePath, c.ReadDirs = testkit.FFprobe(t), []string{"/bin"}
	c.FFmpegPath = write(t, "ffmpeg", strings.NewReplacer("FFMPEG", testkit.FFmpeg(t), "DEVICE", device).Replace(pretender))
	if err := os.Chmod(c.FFmpegPath, 0o700); err != nil {
		t.Fatal(err)
	}
	tools, err := Find(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	got := tools.hardware(t.Context(), func(pattern string) []string {
		if pattern == "/dev/dxg" || strings.HasPrefix(pattern, "/dev/video") {
			return nil
		}
		return []string{device}
	})
	want := []HardwareEncoder{
		{Name: "h264_nvenc", Works: true},
		{Name: "hevc_nvenc", Works: true},
		{Name: "av1_nvenc", Why: "Codec not supported"},
		{Name: "h264_qsv", Why: "exit status 1"},
		{Name: "h264_vaapi", Works: true},
		{Name: "hevc_amf", Why: "exit status 1"},
		{Name: "h264_v4l2m2m", Why: "there is no device /dev/video*"},
	}
	for i := range got {
		if strings.Contains(got[i].Why, "exit status 1") {
			got[i].Why = "exit status 1"
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Those of the installed ffmpeg say why they do not work with a device that is none.
func TestHardwareWithoutAny(t *testing.T) {
	t.Parallel()
	tools := findTools(t)
	none := filepath.Join(t.TempDir(), "renderD128")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, e := range tools.hardware(t.Context(), func(string) []string { return []string{none} }) {
		if e.Works {
			t.Skipf("this machine has %s", e.Name)
		}
		if e.Why == "" {
			t.Errorf("%s does not work, and nobody says why", e.Name)
		}
		t.Logf("%s: %s", e.Name, e.Why)
	}
}

func TestStandard(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds of a core")
	}
	speed, err := findTools(t).Standard(t.Context(), 1)
	if err != nil || speed <= 0 {
		t.Errorf("got %g frames a second, %v", speed, err)
	}
	t.Logf("%.1f frames a second of a core", speed)
}
