package compare

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"

	"liuyun/internal/av/pixel"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/engine/quality"
	"liuyun/internal/kit/proc"
	"liuyun/internal/video/compare/report"
)

// film is the picture of one entry: what its container says of every frame.
type film struct {
	*Entry
	video   *quality.Video
	stream  *ffmpeg.VideoStream
	picture ffmpeg.Picture
	shift   int64   // see ffmpeg.Media.SeekShift
	times   []int64 // of frames in the order of presentation, ticks, rising
	sizes   []int   // bytes of these
	keys    []int64 // times of key frames, rising
	rate    timebase.Rational
}

// mostFrames bounds the frames of a film: a day at 60 a second.
const mostFrames = 24 * 3600 * 60

func (f *film) input() ffmpeg.Input { return ffmpeg.Input{File: f.File, Name: f.Name} }

// limits bound a child that decodes it.
func (f *film) limits() proc.Limits {
	return quality.Limits(f.stream.Width*f.stream.Height, len(f.times))
}

// at is the time of a frame in seconds from the first one.
func (f *film) at(frame int) float64 {
	return float64(f.times[frame]-f.times[0]) * f.stream.TimeBase.Float()
}

// duration is the length in seconds; the last frame lasts as long as frames do.
func (f *film) duration() float64 { return f.at(len(f.times)-1) + 1/f.rate.Float() }

// frameAt is the frame that is shown nearest to a time in seconds.
func (f *film) frameAt(seconds float64) int {
	n := sort.Search(len(f.times), func(i int) bool { return f.at(i) >= seconds })
	if n == len(f.times) || n > 0 && seconds-f.at(n-1) < f.at(n)-seconds {
		n--
	}
	return n
}

// bytes is the size of the picture alone.
func (f *film) bytes() (sum int64) {
	for _, n := range f.sizes {
		sum += int64(n)
	}
	return sum
}

// openFilm finds the picture of an entry and reads when its frames are shown.
func openFilm(ctx context.Context, tools *ffmpeg.Tools, comparer *quality.Comparer, e *Entry) (f *film, err error) {
	f = &film{Entry: e}
	if f.video, err = comparer.Open(ctx, f.input()); err != nil {
		return nil, err
	}
	media, err := tools.Probe(ctx, f.input())
	if err != nil {
		return nil, err
	}
	for i := range media.Video {
		v := &media.Video[i]
		if !v.AttachedPicture && (f.stream == nil || v.Default && !f.stream.Default) {
			f.stream = v
		}
	}
	v := f.stream
	if v == nil {
		return nil, fault.New(fault.Invalid, "%s has no picture in it", e.Name)
	}
	if err := tools.Check(e.Name, v.Stream); err != nil {
		return nil, err
	}
	if v.Width <= 0 || v.Height <= 0 {
		return nil, fault.New(fault.Invalid, "%s does not say how large its picture is: it is damaged or cut off", e.Name)
	}
	f.picture, f.shift = ffmpeg.PictureOf(v), media.SeekShift(v)
	if err := f.index(ctx, tools); err != nil {
		return nil, err
	}
	f.rate = v.AverageRate
	if n := len(f.times); n > 1 && f.times[n-1] > f.times[0] {
		f.rate = timebase.R(int64(n-1)*v.TimeBase.Den, (f.times[n-1]-f.times[0])*v.TimeBase.Num)
	}
	if !f.rate.Valid() {
		f.rate = timebase.R(25, 1)
	}
	return f, nil
}

// index reads the time and the size of every frame.
func (f *film) index(ctx context.Context, tools *ffmpeg.Tools) error {
	type packet struct {
		at   int64
		size int
	}
	var packets []packet
	err := tools.Index(ctx, f.input(), f.stream.Index, func(p ffmpeg.Packet) error {
		switch {
		case p.Discard || p.Size == 0:
			return nil
		case !p.HasPTS:
			return fault.New(fault.Invalid, "%s does not say when its frames are shown: put it into MP4 or Matroska first (ffmpeg -i %[1]s -c copy …)", f.Name)
		case len(packets) >= mostFrames:
			return fault.New(fault.Limit, "%s has more than %d frames: compare a part of it", f.Name, mostFrames)
		}
		packets = append(packets, packet{p.PTS, p.Size})
		if p.Key {
			f.keys = append(f.keys, p.PTS)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(packets) == 0 {
		return fault.New(fault.Invalid, "%s has no frames", f.Name)
	}
	slices.SortStableFunc(packets, func(a, b packet) int { return cmp.Compare(a.at, b.at) })
	slices.Sort(f.keys)
	for _, p := range packets {
		if n := len(f.times); n > 0 && f.times[n-1] == p.at {
			f.sizes[n-1] += p.size // two fields, or a broken clock: one picture to a viewer
			continue
		}
		f.times = append(f.times, p.at)
		f.sizes = append(f.sizes, p.size)
	}
	return nil
}

// shots finds the cuts of a film.
func (f *film) shots(ctx context.Context, tools *ffmpeg.Tools, progress func(share float64)) ([]report.Shot, error) {
	var finder pixel.ShotFinder
	var starts []float64 // of every picture that was decoded
	last := int64(math.MinInt64)
	_, err := tools.Analyse(ctx, ffmpeg.Command{Input: f.input(), Limits: f.limits()}, ffmpeg.Analysis{
		Stream: f.stream.Index, TimeBase: f.stream.TimeBase, Picture: f.picture, Width: pixel.Width, Height: pixel.Height,
	}, func(pts int64, luma []byte) error {
		if pts <= last {
			return nil
		}
		last = pts
		finder.Add(luma)
		starts = append(starts, max(0, float64(pts-f.times[0])*f.stream.TimeBase.Float()))
		progress(min(1, float64(len(starts))/float64(len(f.times))))
		return nil
	})
	if err != nil {
		return nil, err
	}
	shots := []report.Shot{{}}
	for _, cut := range finder.Finish() {
		at := starts[cut]
		shots[len(shots)-1].End = at
		shots = append(shots, report.Shot{Start: at})
	}
	shots[len(shots)-1].End = f.duration()
	return shots, nil
}

// spent is what a film gave to each of the shots, its own clock beginning with its
// first frame.
func (f *film) spent(shots []report.Shot) []report.Spent {
	out := make([]report.Spent, len(shots))
	shot := 0
	const hair = 1e-4 // clocks of two files round differently
	for i, size := range f.sizes {
		for shot+1 < len(shots) && f.at(i) >= shots[shot+1].Start-hair {
			shot++
		}
		out[shot].Bytes += int64(size)
	}
	return out
}

// facts describes a film for the page.
func (f *film) facts() report.Video {
	width, height := f.picture.Shown()
	return report.Video{
		Name: f.Name, Codec: codecName(f.stream), Width: width, Height: height,
		FrameRate: f.rate.Float(), Duration: f.duration(), Bytes: f.bytes(),
	}
}

// codecName is a codec as people know it.
func codecName(v *ffmpeg.VideoStream) string {
	names := map[string]string{
		"h264": "H.264", "hevc": "HEVC", "av1": "AV1", "vp9": "VP9", "vp8": "VP8", "prores": "ProRes", "mpeg2video": "MPEG-2",
		"mpeg4": "MPEG-4", "vvc": "VVC", "rawvideo": "raw", "ffv1": "FFV1", "dnxhd": "DNxHD", "mjpeg": "Motion JPEG",
	}
	return cmp.Or(names[v.Codec], v.Codec)
}
