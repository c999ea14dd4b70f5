package ffmpeg

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"liuyun/internal/base/timebase"
	"liuyun/internal/kit/proc"
)

// Luma is the pass that decodes a video stream as a player would and hands out
// the luma of its frames, upright, at one size and depth, limited range.
type Luma struct {
	Stream        int
	TimeBase      timebase.Rational
	Picture       Picture
	Width, Height int
	Depth         int // 8 or 10; a sample takes one byte or two, little endian

	// Of the frames, counted from 0, those are kept whose number is a multiple
	// of Every, and Before and After of their neighbours. 0 and 1 keep all.
	Every, Before, After int
	Threads              int
}

// Keeps reports whether frame n is handed out.
func (l Luma) Keeps(n int) bool {
	return l.Every <= 1 || (n+l.Before)%l.Every <= l.Before+l.After
}

// Bytes is the size of a frame.
func (l Luma) Bytes() int {
	if l.Depth > 8 {
		return 2 * l.Width * l.Height
	}
	return l.Width * l.Height
}

// DecodeLuma runs the pass. frame is called for every frame that is kept, in the
// order of presentation; it must not keep luma. A frame whose time does not come
// after the ones before is left out.
func (t *Tools) DecodeLuma(ctx context.Context, run Command, l Luma, frame PictureReader) (Usage, error) {
	run.Args = t.LumaArgs(l)
	splitter := &pictureSplitter{frame: make([]byte, 0, l.Bytes()), each: frame}
	run.Pipes = []io.Writer{splitter}
	usage, err := t.Run(ctx, run)
	if splitter.err != nil {
		return usage, splitter.err
	}
	return usage, err
}

// LumaArgs are the arguments of the pass.
func (t *Tools) LumaArgs(l Luma) []string {
	filters := append(l.Picture.deinterlace(l.TimeBase), `select=expr=isnan(prev_selected_pts)+gt(pts\,prev_selected_pts)`)
	if l.Every > 1 {
		filters = append(filters, fmt.Sprintf(`select=expr=lte(mod(n+%d\,%d)\,%d)`, l.Before, l.Every, l.Before+l.After))
	}
	format, plane := "yuv420p", "gray"
	if l.Depth > 8 {
		format, plane = "yuv420p10le", "gray10le"
	}
	// The plane is taken out as it is: a conversion to gray may change its range.
	filters = append(append(filters, l.Picture.scale(l.Width, l.Height, scaler)...), "format="+format, "extractplanes=y")
	args := append(t.inputArgs(readOptions{stream: l.Stream, timeBase: l.TimeBase, threads: l.Threads}),
		"-filter_complex_threads", "1", "-filter_complex", chain("0:"+strconv.Itoa(l.Stream), filters, "luma"), "-map", "[luma]")
	args = append(args, t.passthrough()...)
	return append(args, "-c:v", "rawvideo", "-pix_fmt", plane, "-f", "rawvideo", PipeURL(0))
}

// VMAF is a comparison by ffmpeg's libvmaf filter of two streams of raw pictures
// in YCbCr 4:2:0.
type VMAF struct {
	Width, Height, Depth int
	Models               []string // files in the working folder, of letters, digits and dots; the i-th is called "m<i>" in the log
	Every                int      // score every n-th frame; 0 and 1 all
	Threads              int
	Log                  string // JSON, in the working folder
	Limits               proc.Limits
}

// CompareVMAF runs the comparison in dir: ref and dis are read to their ends.
func (t *Tools) CompareVMAF(ctx context.Context, dir string, v VMAF, ref, dis *os.File) error {
	_, _, err := t.start(ctx, child{tool: t.ffmpeg, stream: ref, second: dis, args: v.args(), dir: dir, limits: v.Limits})
	if err != nil {
		err = t.explain(err, Input{Name: "the comparison"})
	}
	return err
}

func (v VMAF) args() []string {
	args := []string{"-hide_banner", "-nostdin", "-y", "-nostats", "-loglevel", "repeat+level+warning"}
	format := "yuv420p"
	if v.Depth > 8 {
		format = "yuv420p10le"
	}
	for _, pipe := range []string{"pipe:3", "pipe:4"} {
		// Nothing is looked at ahead, so that both are read in step.
		args = append(args, "-probesize", "32", "-analyzeduration", "0",
			"-f", "rawvideo", "-pixel_format", format, "-video_size", fmt.Sprintf("%dx%d", v.Width, v.Height),
			"-framerate", "25", "-i", pipe)
	}
	models := make([]string, len(v.Models))
	for i, file := range v.Models {
		models[i] = fmt.Sprintf(`path=%s\\:name=m%d`, file, i)
	}
	filter := fmt.Sprintf("[1:v][0:v]libvmaf=model=%s:log_fmt=json:log_path=%s:n_threads=%d:n_subsample=%d",
		strings.Join(models, "|"), v.Log, max(1, v.Threads), max(1, v.Every))
	return append(args, "-filter_complex", filter, "-f", "null", "-")
}
