package compare

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// mostSide is the longest side of pictures on the page, pixels.
const mostSide = 1280

// stillSize is the size of pictures on the page, for all films alike: the
// reference's as it is shown, or smaller.
func stillSize(reference *film) (width, height int) {
	width, height = reference.picture.Shown()
	if longest := max(width, height); longest > mostSide {
		width, height = width*mostSide/longest, height*mostSide/longest
	}
	return max(2, width/2*2), max(2, height/2*2)
}

// still is one frame as a JPEG, made in the folder scratch.
func (f *film) still(ctx context.Context, tools *ffmpeg.Tools, frame, width, height int, scratch string) ([]byte, error) {
	const name = "still.jpg"
	at := f.times[frame]
	unit := ffmpeg.Unit{
		Stream: f.stream.Index, TimeBase: f.stream.TimeBase, Picture: f.picture,
		From: at, To: at + 1, Origin: at, FrameRate: f.rate, Count: 1, Hold: true,
	}
	// From the key frame before; where the container leads elsewhere, from the one
	// before that, at last from the beginning.
	starts := []*int64{nil}
	for k, after := range f.keys {
		if after > at {
			break
		}
		if k > 0 {
			seek := after + f.shift
			starts = append(starts, &seek)
		}
	}
	if len(starts) > 3 {
		starts = append(starts[:1], starts[len(starts)-2:]...)
	}
	path := filepath.Join(scratch, name)
	var failed error
	for _, start := range slices.Backward(starts) {
		unit.Seek = start
		_ = os.Remove(path) // mostly absent
		failed = tools.Still(ctx, ffmpeg.Command{Input: f.input(), Dir: scratch, Limits: f.limits()}, unit, width, height, name)
		if ctx.Err() != nil {
			return nil, failed
		}
		if data, err := os.ReadFile(path); failed == nil && err == nil && len(data) > 0 {
			return data, nil
		}
	}
	return nil, cmp.Or(failed, error(fault.New(fault.Invalid, "%s: the frame at %.2f s cannot be decoded", f.Name, f.at(frame))))
}
