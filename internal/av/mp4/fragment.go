package mp4

import (
	"fmt"
	"math"
	"slices"

	ff "github.com/Eyevinn/mp4ff/mp4"
)

// Fragment is one CMAF chunk of a live track: a part is one, and a segment is
// its parts end to end.
type Fragment struct {
	Sequence   uint32 // counts the fragments of a track from 1
	Track      uint32 // as in the init segment; 0 means 1, which is what Append…Init write
	DecodeTime uint64 // of the first sample, in ticks
	// Samples are in decode order. Size is ignored: that of Data counts.
	Samples []Sample
	// Data holds the bytes of each sample. It is only read.
	Data [][]byte
}

// AppendFragment appends f to dst, whole: moof and mdat, no styp. Offsets count
// from the moof (default-base-is-moof), so that fragments may be read alone and
// end to end. Each sample states its own duration, size, flags and signed
// composition offset, so that nothing depends on defaults of an init segment.
// On an error dst is returned as it was.
func AppendFragment(dst []byte, f Fragment) ([]byte, error) {
	const mdatHeader = 8
	if len(f.Samples) == 0 || len(f.Samples) != len(f.Data) {
		return dst, fmt.Errorf("fragment %d: %d samples, the data of %d", f.Sequence, len(f.Samples), len(f.Data))
	}
	bytes := uint64(mdatHeader)
	for _, data := range f.Data {
		bytes += uint64(len(data))
	}
	if bytes > math.MaxInt32 {
		return dst, fmt.Errorf("fragment %d: %d bytes", f.Sequence, bytes)
	}
	moof, err := fragmentMoof(f)
	if err != nil {
		return dst, fmt.Errorf("fragment %d: %w", f.Sequence, err)
	}
	moof.Traf.Trun.DataOffset = int32(moof.Size()) + mdatHeader
	out, err := appendBoxes(slices.Grow(dst, int(moof.Size()+bytes)), moof)
	if err != nil {
		return dst, fmt.Errorf("fragment %d: %w", f.Sequence, err)
	}
	out = append(out, byte(bytes>>24), byte(bytes>>16), byte(bytes>>8), byte(bytes), 'm', 'd', 'a', 't')
	for _, data := range f.Data {
		out = append(out, data...)
	}
	return out, nil
}

func fragmentMoof(f Fragment) (*ff.MoofBox, error) {
	track := f.Track
	if track == 0 {
		track = trackID
	}
	tfdt := ff.CreateTfdt(f.DecodeTime)
	tfdt.Version = 1
	trun := ff.CreateTrun(0)
	trun.Version = 1
	trun.Flags = ff.TrunDataOffsetPresentFlag | ff.TrunSampleDurationPresentFlag | ff.TrunSampleSizePresentFlag |
		ff.TrunSampleFlagsPresentFlag | ff.TrunSampleCompositionTimeOffsetPresentFlag
	trun.Samples = make([]ff.Sample, len(f.Samples))
	for i, s := range f.Samples {
		trun.Samples[i] = ff.Sample{
			Flags: sampleFlags(s), Dur: s.Duration, Size: uint32(len(f.Data[i])),
			CompositionTimeOffset: s.CompositionOffset,
		}
	}
	return assembleMoof(f.Sequence, ff.CreateTfhd(track), tfdt, trun)
}
