package mp4

import (
	"fmt"
	"io"
	"math"

	ff "github.com/Eyevinn/mp4ff/mp4"

	"liuyun/internal/base/timebase"
)

// Source is a run of samples and the file that their offsets are in.
type Source struct {
	R       io.ReaderAt
	Samples []Sample
}

// ProgressiveVideo is a video track and its samples, in decode order. They must
// be decodable one source after another; composition offsets may be negative.
type ProgressiveVideo struct {
	VideoTrack
	Sources []Source
}

// ProgressiveAudio is an audio track and its samples, in decode order.
type ProgressiveAudio struct {
	AudioTrack
	Sources []Source
}

// WriteProgressive writes an MP4 file with the given tracks, header first, so
// that it plays while it loads. video may be nil. The tracks are interleaved by
// chunks of about a second, and a player picks the first of the audio tracks.
// Sample bytes go from the sources to w in order, each read once; memory is
// bounded by the sample tables.
func WriteProgressive(w io.Writer, video *ProgressiveVideo, audio []ProgressiveAudio) error {
	p := progressive{}
	if err := p.addTracks(video, audio); err != nil {
		return fmt.Errorf("write progressive mp4: %w", err)
	}
	p.order = interleave(p.tracks)
	head, err := p.header(brandsOf(video))
	if err != nil {
		return fmt.Errorf("write progressive mp4: %w", err)
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("write progressive mp4: %w", err)
	}
	if err := p.copySamples(w); err != nil {
		return fmt.Errorf("write progressive mp4: %w", err)
	}
	return nil
}

func brandsOf(video *ProgressiveVideo) []string {
	brands := []string{"isom", "iso4", "mp41"} // iso4 has signed composition offsets
	switch {
	case video == nil:
	case video.Codec == H264:
		brands = append(brands, "avc1")
	case video.Codec == AV1:
		brands = append(brands, "av01")
	}
	return brands
}

// progressive is a file in the making.
type progressive struct {
	timescale uint32 // of the movie
	duration  uint64 // of the longest track, in the movie's ticks
	tracks    []*progressiveTrack
	order     []*chunk
}

// progressiveTrack is a track of it.
type progressiveTrack struct {
	trak    *ff.TrakBox
	sources []Source
	chunks  []*chunk
	tables  []ff.Box // of stbl, but for the chunk offsets
}

// chunk is a run of samples of one source that lie side by side in the file.
type chunk struct {
	track   *progressiveTrack
	r       io.ReaderAt
	samples []Sample
	start   int64 // microseconds, for interleaving
	bytes   int64
	offset  uint64 // in the file
}

// addTracks makes the traks. The movie counts in the ticks of its sound, whose
// edit lists are then exact to the sample.
func (p *progressive) addTracks(video *ProgressiveVideo, audio []ProgressiveAudio) error {
	switch {
	case len(audio) > 0:
		p.timescale = audio[0].Timescale
	case video != nil:
		p.timescale = video.Timescale
	default:
		return fmt.Errorf("no tracks")
	}
	if video != nil {
		trak, err := newVideoTrak(1, video.VideoTrack)
		if err != nil {
			return err
		}
		if err := p.addTrack(trak, video.Sources, video.MediaStart, sourcesDuration(video.Sources)); err != nil {
			return err
		}
	}
	for i, a := range audio {
		trak, err := newAudioTrak(uint32(len(p.tracks)+1), a.AudioTrack)
		if err != nil {
			return err
		}
		trak.Tkhd.AlternateGroup = 1
		if i > 0 {
			trak.Tkhd.Flags &^= trackEnabled
		}
		if err := p.addTrack(trak, a.Sources, a.Priming, sourcesDuration(a.Sources)-a.Priming); err != nil {
			return err
		}
	}
	return nil
}

const trackEnabled = 1 // a flag of tkhd

func sourcesDuration(sources []Source) int64 {
	var sum int64
	for _, s := range sources {
		sum += duration(s.Samples)
	}
	return sum
}

// addTrack puts the samples into the tables of trak, of which it presents
// length ticks from start on. The chunks get their offsets later.
func (p *progressive) addTrack(trak *ff.TrakBox, sources []Source, start, length int64) error {
	header := trak.Mdia.Mdhd
	header.Duration = uint64(sourcesDuration(sources))
	if header.Duration > math.MaxUint32 {
		header.Version = 1
	}
	presented := uint64(timebase.MulDiv(max(length, 0), int64(p.timescale), int64(header.Timescale)))
	p.duration = max(p.duration, presented)
	trak.Tkhd.Duration = presented
	if presented > math.MaxUint32 {
		trak.Tkhd.Version = 1
	}
	addEdit(trak, start, presented)
	t := &progressiveTrack{trak: trak, sources: sources}
	t.cut(header.Timescale)
	p.tracks = append(p.tracks, t)
	return t.fillTables()
}

// cut divides the samples into chunks of about a second.
func (t *progressiveTrack) cut(timescale uint32) {
	var at int64 // ticks
	for _, source := range t.sources {
		for rest := source.Samples; len(rest) > 0; {
			n, ticks, bytes := firstSecond(rest, timescale)
			t.chunks = append(t.chunks, &chunk{
				track: t, r: source.R, samples: rest[:n], bytes: bytes,
				start: timebase.MulDiv(at, 1e6, int64(timescale)),
			})
			at += ticks
			rest = rest[n:]
		}
	}
}

// firstSecond returns how many samples make a second, and what they add up to.
func firstSecond(samples []Sample, timescale uint32) (n int, ticks, bytes int64) {
	for n < len(samples) && (n == 0 || ticks < int64(timescale)) {
		ticks += int64(samples[n].Duration)
		bytes += int64(samples[n].Size)
		n++
	}
	return n, ticks, bytes
}

// interleave merges the chunks of the tracks by the time they start at; the
// first of the tracks goes first where they start together.
func interleave(tracks []*progressiveTrack) []*chunk {
	next := make([]int, len(tracks))
	var order []*chunk
	for {
		var first *chunk
		from := 0
		for i, t := range tracks {
			if next[i] < len(t.chunks) && (first == nil || t.chunks[next[i]].start < first.start) {
				first, from = t.chunks[next[i]], i
			}
		}
		if first == nil {
			return order
		}
		next[from]++
		order = append(order, first)
	}
}

// header returns all that stands before the samples.
func (p *progressive) header(brands []string) ([]byte, error) {
	ftyp := ff.NewFtyp("isom", 512, brands)
	moov := ff.NewMoovBox()
	mvhd := ff.CreateMvhd()
	mvhd.Timescale, mvhd.Duration, mvhd.NextTrackID = p.timescale, p.duration, uint32(len(p.tracks)+1)
	if p.duration > math.MaxUint32 {
		mvhd.Version = 1
	}
	moov.AddChild(mvhd)
	for _, t := range p.tracks {
		moov.AddChild(t.trak)
	}
	var bytes uint64
	for _, c := range p.order {
		bytes += uint64(c.bytes)
	}
	mdat := mdatHeader{payload: bytes}
	// Where chunks lie depends on the size of the header, and that on how wide
	// the offsets are: narrow, if the end of the file can be told in them.
	table := narrowOffsets
	p.putOffsets(table)
	if ftyp.Size()+moov.Size()+mdat.size()+bytes > math.MaxUint32 {
		table = wideOffsets
		p.putOffsets(table)
	}
	at := ftyp.Size() + moov.Size() + mdat.size()
	for _, c := range p.order {
		c.offset = at
		at += uint64(c.bytes)
	}
	p.putOffsets(table)
	head, err := appendBoxes(nil, ftyp, moov)
	if err != nil {
		return nil, err
	}
	return mdat.append(head)
}

// copySamples streams the samples of the chunks in order.
func (p *progressive) copySamples(w io.Writer) error {
	buffer := make([]byte, 256<<10)
	for _, c := range p.order {
		for rest := c.samples; len(rest) > 0; {
			n, bytes := contiguous(rest)
			section := io.NewSectionReader(c.r, rest[0].Offset, bytes)
			// Hiding what else w can do makes it use the buffer.
			copied, err := io.CopyBuffer(struct{ io.Writer }{w}, section, buffer)
			if err != nil {
				return fmt.Errorf("copy samples: %w", err)
			}
			if copied != bytes {
				return fmt.Errorf("copy samples: %w", io.ErrUnexpectedEOF)
			}
			rest = rest[n:]
		}
	}
	return nil
}

// contiguous returns how many samples lie end to end, and their bytes.
func contiguous(samples []Sample) (n int, bytes int64) {
	for n < len(samples) && samples[n].Offset == samples[0].Offset+bytes {
		bytes += int64(samples[n].Size)
		n++
	}
	return n, bytes
}
