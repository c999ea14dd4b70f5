package mp4

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

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
	// Wall is when the first sample was made. It becomes a prft box of version 1 (ISO/IEC
	// 14496-12, 8.16.5); the zero Time is none.
	Wall time.Time
	// Events stand before the moof, each an emsg box of version 1.
	Events []Event
}

// Event is a message to who plays (ISO/IEC 23009-1, 5.10.3.3).
type Event struct {
	Scheme, Value string
	Timescale     uint32
	Time          uint64 // of presentation, in ticks of Timescale
	Duration      uint32 // math.MaxUint32 is unknown
	ID            uint32
	Message       []byte
}

// AppendFragment appends f to dst, whole: its events, prft, moof and mdat, no styp. Offsets count
// from the moof (default-base-is-moof), so that fragments may be read alone and
// end to end. Each sample states its own duration, size, flags and signed
// composition offset, so that nothing depends on defaults of an init segment.
// On an error dst is returned as it was.
func AppendFragment(dst []byte, f Fragment) ([]byte, error) {
	out, err := AppendFragmentHead(dst, f)
	if err != nil {
		return dst, err
	}
	for _, data := range f.Data {
		out = append(out, data...)
	}
	return out, nil
}

// AppendFragmentHead appends all of a fragment but its media: f.Data, one after the
// other, belong behind it.
func AppendFragmentHead(dst []byte, f Fragment) ([]byte, error) {
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
	out, err := appendBefore(slices.Grow(dst, int(moof.Size())+mdatHeader+prftSize), &f)
	if err == nil {
		out, err = appendBoxes(out, moof)
	}
	if err != nil {
		return dst, fmt.Errorf("fragment %d: %w", f.Sequence, err)
	}
	return append(out, byte(bytes>>24), byte(bytes>>16), byte(bytes>>8), byte(bytes), 'm', 'd', 'a', 't'), nil
}

const prftSize = 32

// appendBefore appends what stands before the moof.
func appendBefore(dst []byte, f *Fragment) ([]byte, error) {
	for i := range f.Events {
		e := &f.Events[i]
		box := &ff.EmsgBox{
			Version: 1, TimeScale: e.Timescale, PresentationTime: e.Time, EventDuration: e.Duration, ID: e.ID,
			SchemeIDURI: e.Scheme, Value: e.Value, MessageData: e.Message,
		}
		var err error
		if dst, err = appendBoxes(dst, box); err != nil {
			return dst, err
		}
	}
	if f.Wall.IsZero() {
		return dst, nil
	}
	dst = append(dst, 0, 0, 0, prftSize, 'p', 'r', 'f', 't', 1, 0, 0, encoderInput)
	dst = binary.BigEndian.AppendUint32(dst, max(f.Track, trackID))
	dst = binary.BigEndian.AppendUint64(dst, ntp(f.Wall))
	return binary.BigEndian.AppendUint64(dst, f.DecodeTime), nil
}

// encoderInput is the flags of the time at which a sample went into the encoder.
const encoderInput = 0

// ntp is a time as RFC 5905 writes it: seconds since 1900, and 32 bits of fraction.
func ntp(t time.Time) uint64 {
	const since1900 = 2208988800
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/1e9
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
