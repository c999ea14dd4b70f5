package rule

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compressor compresses bodies while they come. One is for all sites of an edge, so that
// what is compressed at once is bounded: what comes above that stays as it is.
type Compressor struct {
	room    chan struct{}
	gzip    sync.Pool
	zstd    sync.Pool
	buffers sync.Pool
}

// NewCompressor returns one for so many bodies at once. Each takes one megabyte while it
// lasts, or two where it is zstd.
func NewCompressor(bodies int) *Compressor {
	c := &Compressor{room: make(chan struct{}, bodies)}
	c.gzip.New = func() any { return newGzip() }
	c.zstd.New = func() any { return newZstd() }
	c.buffers.New = func() any { b := make([]byte, 32<<10); return &b }
	return c
}

// encoder is one of either kind.
type encoder struct {
	io.WriteCloser
	flush func() error
	reset func(io.Writer)
}

func newGzip() *encoder {
	const level = 5
	w, err := gzip.NewWriterLevel(io.Discard, level)
	if err != nil {
		panic("gzip: " + err.Error()) // of the level alone
	}
	return &encoder{w, w.Flush, w.Reset}
}

func newZstd() *encoder {
	// A window of at most 8 MiB is what browsers have (RFC 9659, section 3); text gains
	// little by one of more than this. Without concurrency there is no goroutine.
	const window = 256 << 10
	w, err := zstd.NewWriter(io.Discard, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("zstd: " + err.Error()) // of the options alone
	}
	return &encoder{w, w.Flush, w.Reset}
}

func (c *Compressor) pool(coding string) *sync.Pool {
	if coding == codingZstd {
		return &c.zstd
	}
	return &c.gzip
}

// compress returns a body that is source compressed. ok is false where there is no room,
// and source is left alone. Who closes the body closes source, at any time.
func (c *Compressor) compress(coding string, source io.ReadCloser) (body io.ReadCloser, ok bool) {
	if c == nil {
		return nil, false
	}
	select {
	case c.room <- struct{}{}:
	default:
		return nil, false
	}
	b := &encoded{
		compressor: c, coding: coding, source: source,
		filled: make(chan filling), empty: make(chan struct{}, 1), done: make(chan struct{}),
	}
	return b, true
}

// encoded is a body that is compressed while it is read. What has come is held back until
// there is enough of it, but not for longer than holdBack.
type encoded struct {
	compressor *Compressor
	coding     string
	source     io.ReadCloser

	// The goroutine that reads source has the buffer between empty and filled, the reader
	// between filled and empty.
	filled chan filling
	empty  chan struct{}
	done   chan struct{} // closed by Close
	close  sync.Once
	closed error

	mu       sync.Mutex
	encoder  *encoder // nil before the first Read, and after release
	buffer   *[]byte
	out      bytes.Buffer
	held     bool // something may be in the encoder
	due      *time.Timer
	released bool
	err      error // what is read when out is empty
}

// filling is what came of the source at once.
type filling struct {
	n   int
	err error
}

// holdBack is how long what has come waits for more. What is sent slowly, such as events,
// is late by no more than that.
const holdBack = 10 * time.Millisecond

var errClosed = errors.New("the body is closed")

// Read implements io.Reader.
func (b *encoded) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for b.out.Len() == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.step()
	}
	return b.out.Read(p)
}

// step waits for something, and takes it.
func (b *encoded) step() {
	if b.encoder == nil {
		b.start()
	}
	var due <-chan time.Time
	if b.held {
		due = b.due.C
	}
	select {
	case <-b.done:
		b.end(errClosed)
	case <-due:
		b.held = false
		if err := b.encoder.flush(); err != nil {
			b.end(err)
		}
	case f := <-b.filled:
		b.take(f)
	}
}

func (b *encoded) start() {
	b.encoder = b.compressor.pool(b.coding).Get().(*encoder)
	b.encoder.reset(&b.out)
	b.buffer = b.compressor.buffers.Get().(*[]byte)
	b.due = time.NewTimer(holdBack)
	b.due.Stop()
	go b.fill(*b.buffer)
}

// fill reads the source until that ends, or the body is closed.
func (b *encoded) fill(buffer []byte) {
	for {
		n, err := b.source.Read(buffer)
		if n == 0 && err == nil {
			continue
		}
		select {
		case b.filled <- filling{n, err}:
		case <-b.done:
			return
		}
		if err != nil {
			return
		}
		select {
		case <-b.empty:
		case <-b.done:
			return
		}
	}
}

func (b *encoded) take(f filling) {
	if f.n > 0 {
		if _, err := b.encoder.Write((*b.buffer)[:f.n]); err != nil {
			b.end(err)
			return
		}
		if !b.held {
			b.held = true
			b.due.Reset(holdBack)
		}
	}
	switch {
	case f.err == nil:
		b.empty <- struct{}{}
		return
	case f.err == io.EOF: // itself: one that is wrapped says that something is missing
		if err := b.encoder.Close(); err != nil {
			f.err = err
		}
	}
	b.compressor.buffers.Put(b.buffer) // nobody fills it any more
	b.end(f.err)
}

// end says what is read at the end, and gives back what others can use. The caller holds
// the lock.
func (b *encoded) end(err error) {
	b.err = err
	if b.released {
		return
	}
	b.released = true
	if b.encoder != nil {
		b.due.Stop()
		b.encoder.reset(io.Discard)
		b.compressor.pool(b.coding).Put(b.encoder)
	}
	<-b.compressor.room
}

// Close implements io.Closer. A Read that waits ends with it.
func (b *encoded) Close() error {
	b.close.Do(func() {
		close(b.done)
		b.closed = b.source.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.out.Reset()
		b.end(errClosed)
	})
	return b.closed
}
