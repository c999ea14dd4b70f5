package mp4

import (
	"math"
	"slices"

	ffbits "github.com/Eyevinn/mp4ff/bits"
	ff "github.com/Eyevinn/mp4ff/mp4"
)

// fillTables describes the samples of t in tables, all but the offsets of its
// chunks.
func (t *progressiveTrack) fillTables() error {
	stbl := t.trak.Mdia.Minf.Stbl
	compositions := &ff.CttsBox{Version: 1, EndSampleNr: []uint32{0}} // 1: they are signed
	syncs := &ff.StssBox{}
	var number uint32 // of the sample, from 1
	nonSync, shifted := false, false
	for _, c := range t.chunks {
		for _, s := range c.samples {
			number++
			stbl.Stsz.SampleSize = append(stbl.Stsz.SampleSize, s.Size)
			addDuration(stbl.Stts, s.Duration)
			addComposition(compositions, number, s.CompositionOffset)
			shifted = shifted || s.CompositionOffset != 0
			nonSync = nonSync || !s.Sync
			if s.Sync {
				syncs.SampleNumber = append(syncs.SampleNumber, number)
			}
		}
	}
	stbl.Stsz.SampleNumber = number
	t.tables = []ff.Box{stbl.Stsd, stbl.Stts}
	if shifted {
		t.tables = append(t.tables, compositions)
	}
	if nonSync { // without this table, all are sync samples
		t.tables = append(t.tables, syncs)
	}
	t.tables = append(t.tables, stbl.Stsz, stbl.Stsc)
	return addChunkRuns(stbl.Stsc, t.chunks)
}

// addDuration appends a sample to runs of equal duration.
func addDuration(b *ff.SttsBox, ticks uint32) {
	if last := len(b.SampleCount) - 1; last >= 0 && b.SampleTimeDelta[last] == ticks {
		b.SampleCount[last]++
		return
	}
	b.SampleCount = append(b.SampleCount, 1)
	b.SampleTimeDelta = append(b.SampleTimeDelta, ticks)
}

// addComposition appends sample number to runs of equal composition offset.
func addComposition(b *ff.CttsBox, number uint32, ticks int32) {
	if last := len(b.SampleOffset) - 1; last >= 0 && b.SampleOffset[last] == ticks {
		b.EndSampleNr[last+1] = number
		return
	}
	b.SampleOffset = append(b.SampleOffset, ticks)
	b.EndSampleNr = append(b.EndSampleNr, number)
}

// addChunkRuns writes runs of chunks that hold equally many samples.
func addChunkRuns(b *ff.StscBox, chunks []*chunk) error {
	held := -1
	for i, c := range chunks {
		if len(c.samples) == held {
			continue
		}
		held = len(c.samples)
		if err := b.AddEntry(uint32(i+1), uint32(held), 1); err != nil {
			return err
		}
	}
	return nil
}

// putOffsets completes the sample tables of each track by one that table makes.
func (p *progressive) putOffsets(table func([]*chunk) ff.Box) {
	for _, t := range p.tracks {
		t.trak.Mdia.Minf.Stbl.Children = append(slices.Clip(t.tables), table(t.chunks))
	}
}

// narrowOffsets returns the chunks' offsets in 32 bits each.
func narrowOffsets(chunks []*chunk) ff.Box {
	b := &ff.StcoBox{ChunkOffset: make([]uint32, len(chunks))}
	for i, c := range chunks {
		b.ChunkOffset[i] = uint32(c.offset)
	}
	return b
}

// wideOffsets returns the chunks' offsets in 64 bits each.
func wideOffsets(chunks []*chunk) ff.Box {
	b := &ff.Co64Box{ChunkOffset: make([]uint64, len(chunks))}
	for i, c := range chunks {
		b.ChunkOffset[i] = c.offset
	}
	return b
}

// mdatHeader is the header of a media data box whose payload is written apart.
type mdatHeader struct{ payload uint64 }

// long reports whether the size needs 64 bits.
func (m mdatHeader) long() bool { return m.payload+8 > math.MaxUint32 }

// size is that of the header alone.
func (m mdatHeader) size() uint64 {
	if m.long() {
		return 16
	}
	return 8
}

func (m mdatHeader) append(dst []byte) ([]byte, error) {
	header := make([]byte, m.size())
	err := ff.EncodeHeaderWithSizeSW("mdat", m.size()+m.payload, m.long(), ffbits.NewFixedSliceWriterFromSlice(header))
	return append(dst, header...), err
}
