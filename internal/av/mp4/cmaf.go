package mp4

import (
	"fmt"
	"math"
	"slices"

	ffbits "github.com/Eyevinn/mp4ff/bits"
	ff "github.com/Eyevinn/mp4ff/mp4"
)

// trackID is that of the one track of a CMAF header and its segments.
const trackID = 1

// AppendVideoInit appends the CMAF header (init segment) of v to dst: ftyp and
// moov, with an edit list if v.MediaStart is not 0. Either way a segment starts
// to present at its decode time.
func AppendVideoInit(dst []byte, v VideoTrack) ([]byte, error) {
	trak, err := newVideoTrak(trackID, v)
	if err != nil {
		return nil, err
	}
	addEdit(trak, v.MediaStart, 0)
	brands := []string{"iso6", "cmfc"}
	if v.Codec == AV1 {
		brands = append(brands, "av01")
	}
	return appendInit(dst, trak, brands)
}

// AppendAudioInit appends the CMAF header (init segment) of a to dst: ftyp and
// moov, with an edit list that leaves out the priming.
func AppendAudioInit(dst []byte, a AudioTrack) ([]byte, error) {
	trak, err := newAudioTrak(trackID, a)
	if err != nil {
		return nil, err
	}
	addEdit(trak, a.Priming, 0)
	return appendInit(dst, trak, []string{"iso6", "cmfc"})
}

func appendInit(dst []byte, trak *ff.TrakBox, brands []string) ([]byte, error) {
	header := ff.CreateMvhd()
	header.Timescale = trak.Mdia.Mdhd.Timescale
	extends := ff.NewMvexBox()
	extends.AddChild(ff.CreateTrex(trackID))
	movie := ff.NewMoovBox()
	movie.AddChild(header)
	movie.AddChild(trak)
	movie.AddChild(extends)
	return appendBoxes(dst, ff.NewFtyp("cmfc", 0, brands), movie)
}

// Segment is one CMAF segment of a single fragment.
type Segment struct {
	Sequence   uint32 // counts the segments of a track from 1
	DecodeTime uint64 // of the first sample, in ticks
	Samples    []Sample
}

// AppendSegmentHeader appends to dst all of the segment that comes before its
// samples' bytes: styp, moof, and the header of mdat. What follows are the
// bytes of the samples, end to end, which the caller writes. The first picture
// alone is therefore the byte range from 0 to the length of what was appended
// plus Samples[0].Size, which is what an I-frame playlist needs.
func AppendSegmentHeader(dst []byte, s Segment) ([]byte, error) {
	if len(s.Samples) == 0 {
		return nil, fmt.Errorf("segment %d: no samples", s.Sequence)
	}
	const mdatHeader = 8
	bytes := uint64(mdatHeader)
	for _, sample := range s.Samples {
		bytes += uint64(sample.Size)
	}
	if bytes > math.MaxUint32 {
		return nil, fmt.Errorf("segment %d: %d bytes", s.Sequence, bytes)
	}
	moof, err := newMoof(s)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", s.Sequence, err)
	}
	moof.Traf.Trun.DataOffset = int32(moof.Size()) + mdatHeader
	dst, err = appendBoxes(dst, ff.NewStyp("cmfs", 0, []string{"cmfs", "cmff", "cmfl", "msdh"}), moof)
	if err != nil {
		return nil, fmt.Errorf("segment %d: %w", s.Sequence, err)
	}
	return append(dst, byte(bytes>>24), byte(bytes>>16), byte(bytes>>8), byte(bytes), 'm', 'd', 'a', 't'), nil
}

// Sample flags (ISO/IEC 14496-12, 8.8.3.1).
const (
	syncFlags    = ff.SyncSampleFlags                          // depends on nothing
	nonSyncFlags = ff.NonSyncSampleFlags | ff.SampleDependsOn1 // depends on others
)

func sampleFlags(s Sample) uint32 {
	if s.Sync {
		return syncFlags
	}
	return nonSyncFlags
}

// newMoof returns the moof of s, but for the data offset. What all samples have
// in common stands once, in tfhd.
func newMoof(s Segment) (*ff.MoofBox, error) {
	tfhd := ff.CreateTfhd(trackID)
	tfdt := ff.CreateTfdt(s.DecodeTime)
	tfdt.Version = 1
	trun := ff.CreateTrun(0)
	trun.Flags = ff.TrunDataOffsetPresentFlag
	first, rest := s.Samples[0], s.Samples[1:]
	if slices.ContainsFunc(rest, func(o Sample) bool { return o.Duration != first.Duration }) {
		trun.Flags |= ff.TrunSampleDurationPresentFlag
	} else {
		tfhd.Flags |= ff.TfhdDefaultSampleDurationPresentFlag
		tfhd.DefaultSampleDuration = first.Duration
	}
	if slices.ContainsFunc(rest, func(o Sample) bool { return o.Size != first.Size }) {
		trun.Flags |= ff.TrunSampleSizePresentFlag
	} else {
		tfhd.Flags |= ff.TfhdDefaultSampleSizePresentFlag
		tfhd.DefaultSampleSize = first.Size
	}
	setFlags(tfhd, trun, s.Samples)
	if slices.ContainsFunc(s.Samples, func(o Sample) bool { return o.CompositionOffset != 0 }) {
		trun.Flags |= ff.TrunSampleCompositionTimeOffsetPresentFlag
	}
	trun.Samples = make([]ff.Sample, len(s.Samples))
	for i, sample := range s.Samples {
		trun.Samples[i] = ff.Sample{
			Flags: sampleFlags(sample), Dur: sample.Duration, Size: sample.Size,
			CompositionTimeOffset: sample.CompositionOffset,
		}
	}
	return assembleMoof(s.Sequence, tfhd, tfdt, trun)
}

// setFlags states the flags of samples in as few words as it can: once, once
// and an exception for the first, or one by one.
func setFlags(tfhd *ff.TfhdBox, trun *ff.TrunBox, samples []Sample) {
	last := samples[len(samples)-1]
	if slices.ContainsFunc(samples[1:], func(o Sample) bool { return o.Sync != last.Sync }) {
		trun.Flags |= ff.TrunSampleFlagsPresentFlag
		return
	}
	tfhd.Flags |= ff.TfhdDefaultSampleFlagsPresentFlag
	tfhd.DefaultSampleFlags = sampleFlags(last)
	if samples[0].Sync != last.Sync {
		trun.SetFirstSampleFlags(sampleFlags(samples[0]))
	}
}

func assembleMoof(sequence uint32, tfhd *ff.TfhdBox, tfdt *ff.TfdtBox, trun *ff.TrunBox) (*ff.MoofBox, error) {
	traf := &ff.TrafBox{}
	for _, child := range []ff.Box{tfhd, tfdt, trun} {
		if err := traf.AddChild(child); err != nil {
			return nil, err
		}
	}
	moof := &ff.MoofBox{}
	for _, child := range []ff.Box{ff.CreateMfhd(sequence), traf} {
		if err := moof.AddChild(child); err != nil {
			return nil, err
		}
	}
	return moof, nil
}

// appendBoxes encodes boxes behind dst.
func appendBoxes(dst []byte, boxes ...ff.Box) ([]byte, error) {
	for _, b := range boxes {
		start, n := len(dst), int(b.Size())
		dst = slices.Grow(dst, n)[:start+n]
		if err := b.EncodeSW(ffbits.NewFixedSliceWriterFromSlice(dst[start:])); err != nil {
			return nil, fmt.Errorf("write %s: %w", b.Type(), err)
		}
	}
	return dst, nil
}
