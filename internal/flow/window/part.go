package window

import (
	"io"
	"time"
)

// segment is one of a rendition. Group.mu guards it, but for what never changes.
type segment struct {
	number        int64
	uri           string
	init          *initSection
	time          int64 // of day, in nanoseconds since 1970; 0 is unknown
	start, clock  int64 // decode time of the first sample, in ticks; ticks a second, 0 if they are not known
	line          int64 // discontinuities up to and including its own
	discontinuity bool
	dependent     bool    // begins without a key frame
	still         bool    // so are all its parts
	gap           bool    // nothing is there
	begin         int64   // when its first sample is presented, in ticks of its track
	key           int64   // bytes up to the end of its first picture; 0 where that is no key frame
	anchor        *anchor // of its period of DASH; nil where the time of day is not known
	saved         bool    // on the disk, or a gap
	gone          bool    // out of the window: to be deleted
	duration      time.Duration
	size          int64
	parts         []part    // nil when it is old
	memory        []*buffer // of each part that is no gap, until it is saved
	written       int       // so many of them are in its file …
	filled        int64     // … and are so many bytes
}

// part is one of a segment.
type part struct {
	duration     time.Duration
	offset, size int64
	key          int64 // see segment
	frames       int32
	independent  bool // begins with a key frame
	still        bool // nobody sent it: it repeats a picture
	gap          bool
}

// lasts is how long the parts are.
func (s *segment) lasts() time.Duration {
	if s.duration > 0 {
		return s.duration
	}
	var sum time.Duration
	for i := range s.parts {
		sum += s.parts[i].duration
	}
	return sum
}

// free gives back the memory.
func (s *segment) free() {
	for _, b := range s.memory {
		b.release()
	}
	s.memory = nil
}

// chain reads buffers end to end.
type chain []*buffer

// ReadAt reads what lies at an offset of the whole.
func (c chain) ReadAt(p []byte, offset int64) (n int, err error) {
	for _, b := range c {
		if offset >= int64(b.size) {
			offset -= int64(b.size)
			continue
		}
		copied := copy(p[n:], b.bytes()[offset:])
		n, offset = n+copied, 0
		if n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}

// partsReader reads buffers end to end, and writes them without a copy in between.
type partsReader struct {
	*io.SectionReader
	buffers chain
}

// WriteTo writes what has not been read.
func (m *partsReader) WriteTo(w io.Writer) (written int64, err error) {
	at, err := m.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	skip := at
	for _, b := range m.buffers {
		if skip >= int64(b.size) {
			skip -= int64(b.size)
			continue
		}
		n, err := w.Write(b.bytes()[skip:])
		written, skip = written+int64(n), 0
		if err != nil {
			return written, err
		}
	}
	_, err = m.Seek(at+written, io.SeekStart)
	return written, err
}

// openFor is how long the open segment is.
func (r *rendition) openFor() time.Duration {
	if r.open == nil {
		return 0
	}
	return r.open.lasts()
}

func lasting(list []*segment) (sum time.Duration) {
	for _, s := range list {
		sum += s.duration
	}
	return sum
}
