package mp4

import (
	"errors"
	"fmt"
	"io"

	ff "github.com/Eyevinn/mp4ff/mp4"
)

// sampleTables are the boxes of stbl that say where samples are and when.
type sampleTables struct {
	sizes        *ff.StszBox
	durations    *ff.SttsBox
	compositions *ff.CttsBox // nil: presented when decoded
	syncs        *ff.StssBox // nil: all samples are
	chunks       *ff.StscBox
	offsets32    *ff.StcoBox
	offsets64    *ff.Co64Box
}

// read keeps b if it is one of the tables.
func (t *sampleTables) read(r io.ReaderAt, b box) (err error) {
	switch b.kind {
	case "stsz":
		t.sizes, err = decode[*ff.StszBox](r, b)
	case "stts":
		t.durations, err = decode[*ff.SttsBox](r, b)
	case "ctts":
		t.compositions, err = decode[*ff.CttsBox](r, b)
	case "stss":
		t.syncs, err = decode[*ff.StssBox](r, b)
	case "stsc":
		t.chunks, err = decode[*ff.StscBox](r, b)
	case "stco":
		t.offsets32, err = decode[*ff.StcoBox](r, b)
	case "co64":
		t.offsets64, err = decode[*ff.Co64Box](r, b)
	}
	return err
}

// samples joins the tables to one list, each sample inside a file of size bytes.
func (t *sampleTables) samples(size int64) ([]Sample, error) {
	if t.sizes == nil || t.durations == nil || t.chunks == nil || (t.offsets32 == nil && t.offsets64 == nil) {
		return nil, errors.New("a sample table is missing")
	}
	if t.sizes.SampleNumber > MaxSamples {
		return nil, fmt.Errorf("%d samples, more than the %d that are supported", t.sizes.SampleNumber, MaxSamples)
	}
	samples := make([]Sample, t.sizes.SampleNumber)
	t.putSizes(samples)
	if err := t.putDurations(samples); err != nil {
		return nil, err
	}
	if err := t.putCompositions(samples); err != nil {
		return nil, err
	}
	if err := t.putSyncs(samples); err != nil {
		return nil, err
	}
	return samples, t.putOffsets(samples, size)
}

func (t *sampleTables) putSizes(samples []Sample) {
	for i := range samples {
		if t.sizes.SampleUniformSize != 0 {
			samples[i].Size = t.sizes.SampleUniformSize
		} else {
			samples[i].Size = t.sizes.SampleSize[i]
		}
	}
}

func (t *sampleTables) putDurations(samples []Sample) error {
	rest := samples
	for i, n := range t.durations.SampleCount {
		if uint64(n) > uint64(len(rest)) {
			return errors.New("stts: more durations than samples")
		}
		for j := range rest[:n] {
			rest[j].Duration = t.durations.SampleTimeDelta[i]
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("stts: %d samples without a duration", len(rest))
	}
	return nil
}

func (t *sampleTables) putCompositions(samples []Sample) error {
	if t.compositions == nil {
		return nil
	}
	rest := samples
	for i, offset := range t.compositions.SampleOffset {
		n := t.compositions.SampleCount(i)
		if uint64(n) > uint64(len(rest)) {
			return errors.New("ctts: more offsets than samples")
		}
		for j := range rest[:n] {
			rest[j].CompositionOffset = offset
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("ctts: %d samples without an offset", len(rest))
	}
	return nil
}

func (t *sampleTables) putSyncs(samples []Sample) error {
	if t.syncs == nil {
		for i := range samples {
			samples[i].Sync = true
		}
		return nil
	}
	for _, number := range t.syncs.SampleNumber {
		if number == 0 || uint64(number) > uint64(len(samples)) {
			return fmt.Errorf("stss: sample %d of %d", number, len(samples))
		}
		samples[number-1].Sync = true
	}
	return nil
}

// putOffsets deals the samples out to the chunks.
func (t *sampleTables) putOffsets(samples []Sample, size int64) error {
	runs := t.chunks.Entries
	rest := samples
	for chunk := range t.chunkCount() {
		// A run of stsc holds from its first chunk (counted from 1) to the next run's.
		for len(runs) > 1 && int64(runs[1].FirstChunk) <= int64(chunk)+1 {
			runs = runs[1:]
		}
		if len(runs) == 0 || int64(runs[0].FirstChunk) > int64(chunk)+1 {
			return fmt.Errorf("stsc: chunk %d is not described", chunk+1)
		}
		n := runs[0].SamplesPerChunk
		if uint64(n) > uint64(len(rest)) {
			return errors.New("stsc: more samples than sizes")
		}
		if err := placeChunk(rest[:n], t.chunkOffset(chunk), size); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("stsc: %d samples in no chunk", len(rest))
	}
	return nil
}

// placeChunk lays samples end to end from offset.
func placeChunk(samples []Sample, offset uint64, size int64) error {
	if offset > uint64(size) {
		return fmt.Errorf("a chunk starts at byte %d of %d: the file is cut short", offset, size)
	}
	at := int64(offset)
	for i := range samples {
		samples[i].Offset = at
		at += int64(samples[i].Size)
		if at > size {
			return fmt.Errorf("a sample ends at byte %d of %d: the file is cut short", at, size)
		}
	}
	return nil
}

func (t *sampleTables) chunkCount() int {
	if t.offsets64 != nil {
		return len(t.offsets64.ChunkOffset)
	}
	return len(t.offsets32.ChunkOffset)
}

func (t *sampleTables) chunkOffset(i int) uint64 {
	if t.offsets64 != nil {
		return t.offsets64.ChunkOffset[i]
	}
	return uint64(t.offsets32.ChunkOffset[i])
}
