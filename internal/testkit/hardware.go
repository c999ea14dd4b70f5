package testkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Manners of a Pretender.
const (
	Honest    = ":"                                                                                                                             // does what it is asked
	Keyless   = `[ "$1" = -force_key_frames ] && { shift 2; continue; }`                                                                        // gives no key frame
	Forgetful = `[ "$1" = -g ] && { shift 2; set -- "$@" -frames:v 20; continue; }`                                                             // loses what comes later
	Fickle    = `[ "$1" = -cq ] && { echo >>"$0.n"; set -- "$@" -crf $((20 + $(wc -l <"$0.n"))); shift 2; continue; }`                          // does it otherwise each time
	Broken    = `[ "$1" = END ] || case " $* " in *hevc_nvenc*) echo "[hevc_nvenc @ 0x1] [error] No capable devices found" >&2; exit 1 ;; esac` // has no HEVC
)

// Pretender returns the path of an ffmpeg that says it has NVENC, and encodes with
// libx264 and libx265 what is asked of that. manner is shell code that is run for each
// argument of such an encode. All else is the installed ffmpeg. What runs it needs to
// read /bin.
func Pretender(t testing.TB, manner string) string {
	t.Helper()
	const script = `#!/bin/sh
case " $* " in
*" -codecs "*) FFMPEG "$@" | sed 's/(encoders: libx264 /&h264_nvenc /;s/(encoders: libx265 /&hevc_nvenc /'; exit ;;
*_nvenc*) ;;
*) exec FFMPEG "$@" ;;
esac
set -- "$@" END
while [ "$1" != END ]; do
	MANNER
	case "$1" in
	h264_nvenc) set -- "$@" libx264 ;;
	hevc_nvenc) set -- "$@" libx265 -x265-params pools=none:log-level=error:min-keyint=1:open-gop=0 ;;
	p[1-7]) set -- "$@" ultrafast ;;
	-cq) set -- "$@" -crf ;;
	-tune | -rc | -spatial-aq | -strict_gop | -b:v) shift ;;
	*) set -- "$@" "$1" ;;
	esac
	shift
done
shift
exec FFMPEG "$@"
`
	path := filepath.Join(t.TempDir(), "ffmpeg")
	text := strings.NewReplacer("FFMPEG", FFmpeg(t), "MANNER", manner).Replace(script)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
