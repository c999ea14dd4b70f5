package cache

import (
	"context"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	"liuyun/internal/kit/cork"
)

// smallBody is the size up to which a body is kept in memory. What is larger is sent
// from its file by the kernel.
const smallBody = 64 << 10

// body is the bytes of a response, while they come and afterwards. One goroutine
// writes, as fast as the origin sends; any number read, each at its own pace.
type body struct {
	files *files

	mu      sync.Mutex
	size    int64
	sum     uint32 // CRC-32C
	memory  []byte // all of it, where id is 0; what is in it is never changed
	id      uint64 // of the file that has all of it
	file    *os.File
	ended   bool
	err     error         // that it ended with: it is not whole
	arrived chan struct{} // closed at the next change; nil where nobody waits

	users atomic.Int64 // see hold

	checking sync.Once // see sound
	suspect  bool      // it was written by a process before
	damage   error     // what checking came to
}

// newBody returns an empty body that has one user. expected is the size that it will
// have, or -1.
func newBody(f *files, expected int64) *body {
	b := &body{files: f}
	if expected > 0 && expected <= smallBody {
		b.memory = make([]byte, 0, expected)
	}
	b.users.Store(1)
	return b
}

// wholeBody returns a body that is there already, in memory or, where id is not 0, in
// that file.
func wholeBody(f *files, id uint64, memory []byte, size int64, sum uint32) *body {
	b := &body{files: f, id: id, memory: memory, size: size, sum: sum, ended: true, suspect: id != 0}
	b.users.Store(1)
	return b
}

// check reports, with an error, that a file is not what a process before wrote. It is
// read once.
func (b *body) check() error {
	if !b.suspect {
		return nil
	}
	b.checking.Do(func() { b.damage = b.files.check(b.id, b.size, b.sum) })
	return b.damage
}

// hold adds a user, unless the last one has gone.
func (b *body) hold() bool {
	for {
		n := b.users.Load()
		if n == 0 {
			return false
		}
		if b.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends the use of one who holds the body. After the last one its file is no
// more.
func (b *body) release() {
	if b.users.Add(-1) > 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.close()
	if b.id != 0 {
		b.files.remove(b.id)
	}
}

func (b *body) close() {
	if b.file != nil {
		_ = b.file.Close() // nothing is buffered, and nobody relies on what a crash leaves
		b.file = nil
	}
}

// write adds to the body.
func (b *body) write(p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil && b.size+int64(len(p)) > smallBody {
		if err := b.spill(); err != nil {
			return err
		}
	}
	if b.file != nil {
		if _, err := b.file.Write(p); err != nil {
			return err
		}
	} else {
		b.memory = append(b.memory, p...)
	}
	b.sum = crc32.Update(b.sum, castagnoli(), p)
	b.size += int64(len(p))
	b.wake()
	return nil
}

// spill moves the body to a file.
func (b *body) spill() error {
	id, f, err := b.files.create()
	if err != nil {
		return err
	}
	if _, err := f.Write(b.memory); err != nil {
		_ = f.Close()
		b.files.remove(id)
		return err
	}
	b.file, b.id, b.memory = f, id, nil
	return nil
}

// end says that all was written, or why not.
func (b *body) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.close()
	b.ended, b.err = true, err
	b.wake()
}

func (b *body) wake() {
	if b.arrived != nil {
		close(b.arrived)
		b.arrived = nil
	}
}

// length is the size of the body; ok is false while more may come.
func (b *body) length() (n int64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size, b.ended && b.err == nil
}

// inMemory reports whether the body has no file.
func (b *body) inMemory() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id == 0
}

// look returns what there is of the body from an offset on: bytes, or a number of
// them in the file, or what to wait for. At the end it is nothing at all.
func (b *body) look(at int64) (part []byte, inFile int64, wait <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case at < b.size && b.id == 0:
		return b.memory[at:b.size], 0, nil, nil
	case at < b.size:
		return nil, b.size - at, nil, nil
	case b.ended:
		return nil, 0, nil, b.err
	}
	if b.arrived == nil {
		b.arrived = make(chan struct{})
	}
	return nil, 0, b.arrived, nil
}

// send writes a part of the body to a client, as it comes. A length of -1 is up to the
// end. The caller holds the body.
func (b *body) send(ctx context.Context, w http.ResponseWriter, s span) (sent int64, err error) {
	var file *os.File
	defer func() {
		if file != nil {
			_ = file.Close() // it was read only
		}
	}()
	left := s.length
	for at := s.offset; left != 0; {
		part, inFile, wait, err := b.look(at)
		n := int64(len(part)) + inFile
		if left > 0 {
			n = min(n, left)
		}
		switch {
		case err != nil:
			return sent, err
		case n == 0 && wait == nil:
			if left > 0 {
				return sent, io.ErrUnexpectedEOF
			}
			return sent, nil
		case n == 0:
			if err := http.NewResponseController(w).Flush(); err != nil {
				return sent, err
			}
			select {
			case <-wait:
			case <-ctx.Done():
				return sent, ctx.Err()
			}
			continue
		case part != nil:
			var wrote int
			wrote, err = cork.Write(ctx, w, part[:n])
			sent += int64(wrote)
		default:
			if file == nil {
				if file, err = os.Open(b.files.path(b.id)); err == nil {
					_, err = file.Seek(at, io.SeekStart)
				}
			}
			if err == nil {
				// The kernel sends it, where nothing is encrypted: the writer takes a limited
				// reader of a file.
				var wrote int64
				wrote, err = cork.CopyN(ctx, w, file, n)
				sent += wrote
			}
		}
		if err != nil {
			return sent, err
		}
		at += n
		if left > 0 {
			left -= n
		}
	}
	return sent, nil
}
