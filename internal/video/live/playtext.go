package live

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"liuyun/internal/flow/window"
)

// varyEncoding and encodedGzip are fields of answers, which nobody changes.
var (
	varyEncoding = []string{"Accept-Encoding"}
	encodedGzip  = []string{"gzip"}
)

// sendText answers with a playlist or manifest, compressed where there is such a form and
// r takes it, or returns why there is none. Ranges are of the text as it is.
func (s *Service) sendText(w http.ResponseWriter, r *http.Request, v *view, contentType string, answer window.Answer, err error) error {
	if err != nil {
		return err
	}
	h, body := w.Header(), answer.Text
	if answer.Zips() {
		h["Vary"] = varyEncoding
	}
	if r.Header.Get("Range") != "" {
		s.send(w, r, v, contentType, answer.Caching, bytes.NewReader(body))
		return nil
	}
	if answer.Zips() && takesGzip(r.Header["Accept-Encoding"]) {
		h["Content-Encoding"] = encodedGzip
		body = answer.Gzip()
	} else {
		h.Set("Accept-Ranges", "bytes")
	}
	describe(h, contentType, answer.Caching)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	n, _ := w.Write(body) // who does not get it has gone
	s.served(v.tenant, v.crowd, byHTTP, int64(n))
	return nil
}

// takesGzip reads the fields Accept-Encoding of a request (RFC 9110, 12.5.3): gzip has to
// be named, or meant by *, and the text as it is not be preferred.
func takesGzip(fields []string) bool {
	const absent = -1
	gzip, identity, others := absent, absent, absent
	for _, rest := range fields {
		for rest != "" {
			var item string
			item, rest, _ = strings.Cut(rest, ",")
			coding, parameters, _ := strings.Cut(item, ";")
			switch coding = strings.TrimSpace(coding); {
			case strings.EqualFold(coding, "gzip"), strings.EqualFold(coding, "x-gzip"):
				gzip = max(gzip, weight(parameters))
			case strings.EqualFold(coding, "identity"):
				identity = weight(parameters)
			case coding == "*":
				others = weight(parameters)
			}
		}
	}
	if gzip == absent {
		gzip = others
	}
	return gzip > 0 && gzip >= identity
}

// weight is a q-value in thousandths (RFC 9110, 12.4.2): 1000 where there is none, 0
// where it is none.
func weight(parameters string) int {
	name, value, _ := strings.Cut(parameters, "=")
	if name = strings.TrimSpace(name); name == "" {
		return 1000
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if !strings.EqualFold(name, "q") || err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return int(q * 1000)
}
