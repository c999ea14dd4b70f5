package window

import (
	"bytes"
	"compress/gzip"
	"runtime"
	"sync"
)

// zipFrom is how long a text is at least that is offered compressed: what is shorter
// leaves in the same packets.
const zipFrom = 1024

// text is a playlist that was written, for all who ask for that version.
type text struct {
	version int64
	bytes   []byte
	zip     *zipped // nil where it is not offered compressed
}

// text returns a text that is offered compressed, if that is worth it.
func (p *Buffers) text(version int64, body []byte) text {
	t := text{version: version, bytes: body}
	if len(body) >= zipFrom {
		t.zip = &zipped{plain: body, with: p}
	}
	return t
}

// answer is a text for one who asks.
func (t *text) answer(c Caching) Answer { return Answer{Text: t.bytes, zip: t.zip, Caching: c} }

// zipped is a text compressed: by the first who wants it, once, while others wait for
// that. It goes with its text.
type zipped struct {
	plain []byte
	with  *Buffers
	once  sync.Once
	bytes []byte
}

func (z *zipped) get() []byte {
	z.once.Do(func() { z.bytes = z.with.zip(z.plain) })
	return z.bytes
}

// zipper is what compressing needs: most of a megabyte, so there is one a core at most,
// and none where there is nothing to compress.
type zipper struct {
	w   *gzip.Writer
	out bytes.Buffer
}

// zip returns text as RFC 1952 has it: the same bytes for the same text.
func (p *Buffers) zip(text []byte) []byte {
	p.zips.Do(func() { p.zipping = make(chan struct{}, runtime.GOMAXPROCS(0)) })
	p.zipping <- struct{}{}
	defer func() { <-p.zipping }()
	z, _ := p.zippers.Get().(*zipper)
	if z == nil {
		z = new(zipper)
		z.w, _ = gzip.NewWriterLevel(&z.out, gzip.BestSpeed) // which is a level
	}
	defer p.zippers.Put(z)
	z.out.Reset()
	z.w.Reset(&z.out)
	_, _ = z.w.Write(text) // memory takes all
	_ = z.w.Close()
	return bytes.Clone(z.out.Bytes())
}
