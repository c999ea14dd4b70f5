package ffmpeg

import (
	"strconv"

	"liuyun/internal/base/timebase"
)

// readOptions is how one video stream of the input is read and decoded.
type readOptions struct {
	stream         int
	timeBase       timebase.Rational
	seek           *int64 // ticks; nil reads from the beginning
	threads        int
	skipLoopFilter bool
}

// inputArgs read the input with its own timestamps: frames are named by them,
// so nothing may shift them. Rotation and changes of the picture's size are
// left to our filters, which keep their state where ffmpeg would begin anew.
func (t *Tools) inputArgs(o readOptions) []string {
	args := []string{"-copyts", "-noautorotate", "-reinit_filter", "0"}
	if o.skipLoopFilter {
		args = append(args, "-skip_loop_filter", "all")
	}
	if o.threads > 0 {
		args = append(args, "-threads", strconv.Itoa(o.threads))
	}
	if o.seek != nil {
		args = append(args, "-seek_timestamp", "1", "-noaccurate_seek", "-ss", seconds(*o.seek, o.timeBase))
	}
	return append(args, "-i", InputURL)
}
