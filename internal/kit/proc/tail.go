package proc

// tailSize bounds what is kept of stderr.
const tailSize = 64 << 10

// tail keeps the last tailSize bytes written to it, in at most twice that much
// memory. The zero value is ready.
type tail struct{ buf []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > tailSize {
		p = p[len(p)-tailSize:]
	}
	if len(t.buf)+len(p) > 2*tailSize {
		keep := copy(t.buf, t.buf[len(t.buf)-tailSize:])
		t.buf = t.buf[:keep]
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

func (t *tail) bytes() []byte {
	if len(t.buf) > tailSize {
		return t.buf[len(t.buf)-tailSize:]
	}
	return t.buf
}
