package mp4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	ff "github.com/Eyevinn/mp4ff/mp4"
)

// StreamReader reads a fragmented MP4 of one track while it is being made: it is
// written to in any pieces and hands on each sample as soon as its last byte is
// there. It holds one box at a time and trusts none: see the limits below. After an
// error it takes nothing more.
type StreamReader struct {
	// Init takes what the header says of the track, once, before the first sample.
	// The track has no samples; of its edits MediaStart alone is looked at.
	Init func(t *Track) error
	// Sample takes each sample, in decode order. Its data is the callee's.
	Sample func(s StreamSample) error

	err     error
	head    []byte // of the box that is being read, 8 bytes at most
	kind    string
	body    []byte // of the box that is being read
	missing int64  // bytes of it
	inside  bool   // head is whole
	skip    bool   // nothing of the body is kept

	track *Track
	run   []streamSample // of the moof before
}

// StreamSample is one coded picture or frame of sound. Times are in ticks of its
// track.
type StreamSample struct {
	DecodeTime        int64
	CompositionOffset int32
	Duration          uint32
	Sync              bool
	Data              []byte
}

// streamSample is what a moof says of a sample.
type streamSample struct {
	StreamSample
	size uint32
}

// Limits of what a stream may ask for.
const (
	maxStreamHeader = 256 << 10 // moov, moof
	maxStreamMedia  = 32 << 20  // mdat
	maxStreamRun    = 4096      // samples of one fragment
	boxHeader       = 8
)

// Write takes the next piece.
func (r *StreamReader) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 && r.err == nil {
		p = r.take(p)
	}
	if r.err != nil {
		return 0, fmt.Errorf("fragmented mp4: %w", r.err)
	}
	return size, nil
}

// take takes some of p and returns the rest.
func (r *StreamReader) take(p []byte) []byte {
	if !r.inside {
		n := min(boxHeader-len(r.head), len(p))
		if r.head = append(r.head, p[:n]...); len(r.head) == boxHeader {
			r.begin()
		}
		return p[n:]
	}
	n := int(min(r.missing, int64(len(p))))
	if !r.skip {
		r.body = append(r.body, p[:n]...)
	}
	if r.missing -= int64(n); r.missing == 0 {
		r.end()
	}
	return p[n:]
}

// begin begins the box whose header is whole.
func (r *StreamReader) begin() {
	size := int64(binary.BigEndian.Uint32(r.head))
	r.kind, r.inside, r.skip = string(r.head[4:]), true, false
	r.head = r.head[:0]
	r.missing = size - boxHeader
	limit := int64(maxStreamHeader)
	switch r.kind {
	case "moov", "moof":
	case "mdat":
		limit = maxStreamMedia
	default:
		r.skip = true
	}
	if !r.skip { // in one piece, unless it says that it is large
		r.body = make([]byte, 0, max(0, min(r.missing, maxStreamHeader)))
	}
	switch {
	case r.missing < 0 || r.missing > limit:
		r.err = fmt.Errorf("%q of %d bytes", r.kind, size)
	case r.missing == 0:
		r.end()
	}
}

// end takes the box that is whole.
func (r *StreamReader) end() {
	r.inside = false
	switch r.kind {
	case "moov":
		r.err = r.takeHeader()
	case "moof":
		r.err = r.takeFragment()
	case "mdat":
		r.err = r.takeMedia()
	}
	r.body = nil
}

// takeHeader reads a moov.
func (r *StreamReader) takeHeader() error {
	if r.track != nil {
		return errors.New("a second moov")
	}
	in := bytes.NewReader(r.body)
	t := &trackReader{r: in, size: in.Size()}
	err := walk(in, 0, in.Size(), func(b box) error {
		if b.kind == "trak" {
			return t.readTrak(b)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !t.found || t.mediaRate == 0 || t.entry.codec == "":
		return errors.New("the moov has no track of pictures or sound")
	}
	r.track = &Track{
		Codec: t.entry.codec, Timescale: t.mediaRate, Config: t.entry.config, Width: t.entry.width, Height: t.entry.height,
		Channels: t.entry.channels, SampleRate: t.entry.sampleRate, MediaStart: t.mediaStart(),
	}
	return r.Init(r.track)
}

// mediaStart is where the first edit that presents media begins. Others are not
// looked at: a stream has no end to edit.
func (t *trackReader) mediaStart() int64 {
	if t.edits == nil {
		return 0
	}
	for _, e := range t.edits.Entries {
		if e.MediaTime >= 0 {
			return e.MediaTime
		}
	}
	return 0
}

// takeFragment reads a moof.
func (r *StreamReader) takeFragment() error {
	if r.track == nil {
		return errors.New("a moof before the moov")
	}
	if len(r.run) > 0 {
		return errors.New("a moof without an mdat after it")
	}
	var err error
	r.run, err = samplesOf(r.body)
	return err
}

// samplesOf returns what the body of a moof says of the samples of its one track.
func samplesOf(moof []byte) (run []streamSample, err error) {
	in := bytes.NewReader(moof)
	err = walk(in, 0, in.Size(), func(traf box) error {
		if traf.kind != "traf" {
			return nil
		}
		if len(run) > 0 {
			return errors.New("a moof of two tracks")
		}
		var f trackFragment
		err := walk(in, traf.body, traf.end, func(b box) error { return f.take(b.kind, moof[b.body:b.end]) })
		run = f.run
		return err
	})
	return run, err
}

// takeMedia hands on the samples of an mdat.
func (r *StreamReader) takeMedia() error {
	data := r.body
	for _, s := range r.run {
		if int64(s.size) > int64(len(data)) {
			return errors.New("the mdat is shorter than its samples")
		}
		s.Data, data = data[:s.size:s.size], data[s.size:]
		if err := r.Sample(s.StreamSample); err != nil {
			return err
		}
	}
	r.run = nil
	return nil
}

// trackFragment is a traf that is being read.
type trackFragment struct {
	time                  int64 // of the next sample; below zero is written as a large number
	timed                 bool
	duration, size, flags uint32
	run                   []streamSample
}

// take takes a box of the traf. Samples have to lie from the beginning of the mdat
// on, one after the other, as those who write one track put them.
func (f *trackFragment) take(kind string, body []byte) error {
	in := fields{rest: body}
	switch kind {
	case "tfhd":
		flags := in.next()
		in.next() // track
		for _, field := range []struct {
			flag uint32
			to   *uint32
			wide bool
		}{
			{flag: ff.TfhdBaseDataOffsetPresentFlag, wide: true},
			{flag: ff.TfhdSampleDescriptionIndexPresentFlag},
			{flag: ff.TfhdDefaultSampleDurationPresentFlag, to: &f.duration},
			{flag: ff.TfhdDefaultSampleSizePresentFlag, to: &f.size},
			{flag: ff.TfhdDefaultSampleFlagsPresentFlag, to: &f.flags},
		} {
			if flags&field.flag == 0 {
				continue
			}
			value := in.next()
			if field.wide {
				in.next()
			}
			if field.to != nil {
				*field.to = value
			}
		}
	case "tfdt":
		version := in.next() >> 24
		f.time = int64(in.next())
		if version == 1 {
			f.time = f.time<<32 | int64(in.next())
		}
		f.timed = true
	case "trun":
		return f.takeRun(&in)
	}
	if in.short {
		return fmt.Errorf("%s: cut short", kind)
	}
	return nil
}

// takeRun takes a trun.
func (f *trackFragment) takeRun(in *fields) error {
	flags, count := in.next(), in.next()
	if !f.timed {
		return errors.New("trun: no time before it")
	}
	if int64(len(f.run))+int64(count) > maxStreamRun {
		return fmt.Errorf("trun: %d samples", count)
	}
	if flags&ff.TrunDataOffsetPresentFlag != 0 {
		in.next()
	}
	first, hasFirst := f.flags, flags&ff.TrunFirstSampleFlagsPresentFlag != 0
	if hasFirst {
		first = in.next()
	}
	for i := range count {
		s := streamSample{StreamSample: StreamSample{DecodeTime: f.time}, size: f.size}
		s.Duration = in.optional(flags&ff.TrunSampleDurationPresentFlag, f.duration)
		s.size = in.optional(flags&ff.TrunSampleSizePresentFlag, f.size)
		about := in.optional(flags&ff.TrunSampleFlagsPresentFlag, f.flags)
		if i == 0 && hasFirst {
			about = first
		}
		const notSync = 1 << 16
		s.Sync = about&notSync == 0
		s.CompositionOffset = int32(in.optional(flags&ff.TrunSampleCompositionTimeOffsetPresentFlag, 0))
		if in.short {
			return errors.New("trun: cut short")
		}
		f.time += int64(s.Duration)
		f.run = append(f.run, s)
	}
	return nil
}

// fields reads numbers of 32 bits. Past the end they are 0, and it is short.
type fields struct {
	rest  []byte
	short bool
}

func (f *fields) next() uint32 {
	if len(f.rest) < 4 {
		f.rest, f.short = nil, true
		return 0
	}
	value := binary.BigEndian.Uint32(f.rest)
	f.rest = f.rest[4:]
	return value
}

// optional is the next number where present is not 0, else other.
func (f *fields) optional(present, other uint32) uint32 {
	if present == 0 {
		return other
	}
	return f.next()
}
