package live

import (
	"errors"
	"io"
	"net/http"
	"time"

	"liuyun/internal/flow/window"
)

// tellTime tells the time of day to players of DASH, whose clocks may be wrong. It is
// the one answer that nobody may keep.
func tellTime(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, time.Now().UTC().Format("2006-01-02T15:04:05.000Z")) // who does not get it has gone
}

// sendGrowing answers with a segment that is not whole yet: each part leaves when it
// comes. What is sent in the end is the whole segment, so a cache may keep it; one
// that breaks off is no answer.
func (s *Service) sendGrowing(w http.ResponseWriter, r *http.Request, v *view, file *window.File) error {
	h := w.Header()
	describe(h, file.Type, file.Caching)
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	out := http.NewResponseController(w)
	total, buffer := int64(0), make([]byte, 32<<10)
	for {
		n, err := file.Grows.Read(buffer)
		if err != nil && !errors.Is(err, io.EOF) && total == 0 {
			return err
		}
		if n > 0 {
			total += int64(n)
			_, failed := w.Write(buffer[:n])
			if failed == nil {
				failed = out.Flush()
			}
			if failed != nil {
				break // who does not get it has gone
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.served(v.tenant, v.crowd, byHTTP, total)
			panic(http.ErrAbortHandler) // so that nobody takes what there is for all
		}
	}
	s.served(v.tenant, v.crowd, byHTTP, total)
	return nil
}
