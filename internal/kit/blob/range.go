package blob

import (
	"context"
	"errors"
	"fmt"
	"io"

	"liuyun/internal/base/fault"
)

// rangeObject reads an object that lies elsewhere, by ranges. A connection that
// breaks is made again from where it broke, a few times.
type rangeObject struct {
	ctx   context.Context
	info  Info
	fetch func(ctx context.Context, from, length int64) (io.ReadCloser, error)

	pos  int64
	body io.ReadCloser // what follows at pos, or nil
}

// fetchTries is how often a read is tried when the connection breaks.
const fetchTries = 4

func (o *rangeObject) Info() Info { return o.info }

func (o *rangeObject) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if o.pos >= o.info.Size {
		return 0, io.EOF
	}
	var err error
	for range fetchTries {
		if o.body == nil {
			if o.body, err = o.fetch(o.ctx, o.pos, o.info.Size-o.pos); err != nil {
				if !worthRetrying(o.ctx, err) {
					return 0, err
				}
				continue
			}
		}
		var n int
		n, err = o.body.Read(p)
		o.pos += int64(n)
		if err != nil {
			o.drop()
		}
		if n > 0 {
			return n, nil
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		if o.ctx.Err() != nil {
			break
		}
	}
	return 0, brokenRead(o.ctx, o.info.Name, err)
}

func (o *rangeObject) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read %q at %d: negative offset", o.info.Name, off)
	}
	if len(p) == 0 {
		return 0, nil
	}
	want := min(int64(len(p)), o.info.Size-off)
	if want <= 0 {
		return 0, io.EOF
	}
	for range fetchTries {
		var body io.ReadCloser
		body, err = o.fetch(o.ctx, off+int64(n), want-int64(n))
		if err == nil {
			var m int
			m, err = io.ReadFull(body, p[n:want])
			body.Close()
			n += m
		}
		if int64(n) == want {
			if want < int64(len(p)) {
				return n, io.EOF
			}
			return n, nil
		}
		if !worthRetrying(o.ctx, err) {
			return n, err
		}
	}
	return n, brokenRead(o.ctx, o.info.Name, err)
}

func (o *rangeObject) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.pos
	case io.SeekEnd:
		offset += o.info.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in %q to %d: negative offset", o.info.Name, offset)
	}
	if offset != o.pos {
		o.drop()
	}
	o.pos = offset
	return offset, nil
}

func (o *rangeObject) Close() error {
	o.drop()
	return nil
}

func (o *rangeObject) drop() {
	if o.body != nil {
		o.body.Close()
		o.body = nil
	}
}

// worthRetrying is false for what another try would not change.
func worthRetrying(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	code := fault.CodeOf(err)
	return code == fault.Unavailable || code == fault.Internal
}

func brokenRead(ctx context.Context, name string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // it ended before its size
	}
	return fault.Wrap(err, fault.Unavailable, "reading %q broke off", name)
}
