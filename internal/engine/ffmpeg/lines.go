package ffmpeg

import "bytes"

// maxLine bounds a line of a child's output; what is longer is cut.
const maxLine = 4096

// lineWriter splits what is written to it into lines and hands each, without
// its end, to each. The slice is valid only during the call. An error stops it.
type lineWriter struct {
	each func(line []byte) error
	part []byte // an unfinished line
}

// Write never keeps more than maxLine bytes of p.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, found := bytes.Cut(p, []byte("\n"))
		if !found {
			w.keep(p)
			return n, nil
		}
		if len(w.part) > 0 {
			w.keep(line)
			line = w.part
		}
		err := w.each(line[:min(len(line), maxLine)])
		w.part = w.part[:0]
		if err != nil {
			return n - len(rest), err
		}
		p = rest
	}
}

// flush hands over a last line that has no end.
func (w *lineWriter) flush() error {
	if len(w.part) == 0 {
		return nil
	}
	err := w.each(w.part)
	w.part = w.part[:0]
	return err
}

func (w *lineWriter) keep(p []byte) {
	w.part = append(w.part, p[:min(len(p), maxLine-len(w.part))]...)
}
