package mp4

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	ff "github.com/Eyevinn/mp4ff/mp4"
)

// WebVTT is the sample entry, and the RFC 6381 name, of WebVTT in fragmented MP4
// (ISO/IEC 14496-30).
const WebVTT = "wvtt"

// TextTrack describes a track of WebVTT to write.
type TextTrack struct {
	Timescale uint32 // ticks a second
	Language  string // as AudioTrack has it
}

// AppendTextInit appends the CMAF header (init segment) of t to dst.
func AppendTextInit(dst []byte, t TextTrack) ([]byte, error) {
	if t.Timescale == 0 {
		return nil, fmt.Errorf("text track: no timescale")
	}
	language, extended := languages(t.Language)
	trak := ff.CreateEmptyTrak(trackID, t.Timescale, "text", extended)
	trak.Mdia.Mdhd.SetLanguage(language)
	trak.Mdia.Hdlr.Name = "text"
	entry := ff.NewWvttBox()
	entry.AddChild(&ff.VttCBox{Config: "WEBVTT"})
	trak.Mdia.Minf.Stbl.Stsd.AddChild(entry)
	return appendInit(dst, trak, []string{"iso6", "cmfc", "cwvt"})
}

// TextCue is a cue of WebVTT. Times are in ticks of its track.
type TextCue struct {
	ID, Settings, Text string // as the file would have them: Text is escaped
	Start, End         int64
}

// TextFragment is what is shown from Begin to End. Cues are in order of Start, and may
// be longer.
type TextFragment struct {
	Sequence   uint32 // as in Fragment
	Begin, End int64
	Cues       []TextCue
}

// maxTextFragment bounds the samples of one fragment, in bytes: cues that overlap are in
// each sample that they are shown in, so that many of them take the square of that.
const maxTextFragment = 1 << 20

// AppendTextFragment appends f to dst. A sample is as long as what is shown stays the
// same: a box for each cue, or one that says that nothing is. Cues of one source, here
// and in other fragments, have one number. From where the samples would be too large
// on, nothing is shown. On an error dst is returned as it was.
func AppendTextFragment(dst []byte, f TextFragment) ([]byte, error) {
	if f.Begin < 0 || f.End <= f.Begin || f.End-f.Begin > math.MaxUint32 {
		return dst, fmt.Errorf("text fragment %d: from %d to %d", f.Sequence, f.Begin, f.End)
	}
	out := Fragment{Sequence: f.Sequence, DecodeTime: uint64(f.Begin)}
	empty, err := textSample(nil)
	if err != nil {
		return dst, err
	}
	times := f.changes()
	next, sum := 0, 0 // the first cue that has not begun yet; bytes so far
	var shown []*TextCue
	for i, at := range times[:len(times)-1] {
		shown = slices.DeleteFunc(shown, func(c *TextCue) bool { return c.End <= at })
		for ; next < len(f.Cues) && f.Cues[next].Start <= at; next++ {
			if c := &f.Cues[next]; c.End > at {
				shown = append(shown, c)
			}
		}
		data, until := empty, times[i+1]
		if len(shown) > 0 {
			if data, err = textSample(shown); err != nil {
				return dst, err
			}
		}
		if sum += len(data); sum > maxTextFragment {
			data, until = empty, f.End
		}
		out.Samples = append(out.Samples, Sample{Duration: uint32(until - at), Sync: true})
		out.Data = append(out.Data, data)
		if until == f.End {
			break
		}
	}
	return AppendFragment(dst, out)
}

// changes are the times at which another cue is shown or one no more, with both ends.
func (f *TextFragment) changes() []int64 {
	all := []int64{f.Begin, f.End}
	for i := range f.Cues {
		for _, at := range []int64{f.Cues[i].Start, f.Cues[i].End} {
			if at > f.Begin && at < f.End {
				all = append(all, at)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// textSample is the sample that shows so many cues.
func textSample(cues []*TextCue) (data []byte, err error) {
	if len(cues) == 0 {
		return appendBoxes(nil, &ff.VtteBox{})
	}
	for _, c := range cues {
		box := &ff.VttcBox{}
		if c.ID != "" {
			source := fnv.New32a()
			source.Write([]byte(c.ID))
			box.AddChild(&ff.VsidBox{SourceID: source.Sum32()})
			box.AddChild(&ff.IdenBox{CueID: c.ID})
		}
		if c.Settings != "" {
			box.AddChild(&ff.SttgBox{Settings: c.Settings})
		}
		box.AddChild(&ff.PaylBox{CueText: c.Text})
		if data, err = appendBoxes(data, box); err != nil {
			return nil, err
		}
	}
	return data, nil
}
