package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"liuyun/internal/base/fault"
)

// The protocol between Remote and Handler. Paths are escaped names.
//
//	GET, HEAD /name          the object, with ranges; ETag and Last-Modified
//	PUT /name                the object; the trailer says length and SHA-256
//	DELETE /name, /prefix/   one, or all below
//	GET /?list=prefix        JSON lines of Info, the last one {"end":true}
//	GET /name?append         {"size":n}: what is gathered
//	POST /name?append=offset adds the body; answers {"written":n,"error":…}
//	POST /name?seal=size     seals; DELETE /name?append aborts
//
// Errors are {"code":…,"message":…}.
const (
	lengthTrailer = "Liuyun-Length"
	sumTrailer    = "Liuyun-Sha256"
)

// Handler answers what a [Remote] asks, from s. It checks names and sums, but not the
// caller: mount it only where nodes come in. Mount it with http.StripPrefix, and not
// behind a wrapped ResponseWriter.
func Handler(s Backend) http.Handler {
	h := &handler{s}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", h.get)
	mux.HandleFunc("PUT /", h.put)
	mux.HandleFunc("POST /", h.post)
	mux.HandleFunc("DELETE /", h.delete)
	// The mux would clean paths and redirect: a name that is not clean is refused.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := objectName(r); name != "" {
			if err := CheckName(strings.TrimSuffix(name, "/")); err != nil {
				sendError(w, err)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

type handler struct{ store Backend }

func objectName(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/") }

func (h *handler) get(w http.ResponseWriter, r *http.Request) {
	switch query := r.URL.Query(); {
	case query.Has("list"):
		h.list(w, r, query.Get("list"))
	case query.Has("append"):
		size, err := h.store.Appended(r.Context(), objectName(r))
		sendResult(w, sizeAnswer{Size: size}, err)
	default:
		h.object(w, r)
	}
}

func (h *handler) object(w http.ResponseWriter, r *http.Request) {
	object, err := h.store.Open(r.Context(), objectName(r))
	if err != nil {
		sendError(w, err)
		return
	}
	defer object.Close()
	info := object.Info()
	w.Header().Set("ETag", strconv.Quote(info.ETag))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Liuyun-Modified", strconv.FormatInt(info.Modified.UnixNano(), 10))
	var content io.ReadSeeker = object
	if file, ok := object.(Filer); ok {
		content = file.File() // leaves by sendfile
	}
	http.ServeContent(w, r, "", info.Modified, content)
}

// list ends with a line that says so: without it the answer was cut off.
func (h *handler) list(w http.ResponseWriter, r *http.Request, prefix string) {
	if prefix != "" {
		if err := CheckPrefix(prefix); err != nil {
			sendError(w, err)
			return
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	err := h.store.List(r.Context(), prefix, func(info Info) error { return encoder.Encode(listLine{Info: info}) })
	line := listLine{End: true}
	if err != nil {
		line = listLine{Error: answerOf(err)}
	}
	_ = encoder.Encode(line) // the caller has gone, and sees no end
}

type listLine struct {
	Info
	End   bool         `json:"end,omitempty"`
	Error *errorAnswer `json:"error,omitempty"`
}

func (h *handler) put(w http.ResponseWriter, r *http.Request) {
	info, err := h.store.Put(r.Context(), objectName(r), &checkedBody{request: r, sum: sha256.New()})
	sendResult(w, info, err)
}

// checkedBody ends only when the body has the length and the sum that its trailer
// says, so that one that was cut off is never stored.
type checkedBody struct {
	request *http.Request
	sum     interface {
		io.Writer
		Sum([]byte) []byte
	}
	length int64
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.request.Body.Read(p)
	b.sum.Write(p[:n])
	b.length += int64(n)
	if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, err
	}
	trailer := b.request.Trailer
	if trailer.Get(lengthTrailer) != strconv.FormatInt(b.length, 10) || trailer.Get(sumTrailer) != hex.EncodeToString(b.sum.Sum(nil)) {
		return n, fault.New(fault.Invalid, "the object did not arrive as it was sent: %d bytes, and its trailer says otherwise", b.length)
	}
	return n, io.EOF
}

type (
	sizeAnswer struct {
		Size int64 `json:"size"`
	}
	appendAnswer struct {
		Written int64        `json:"written"`
		Error   *errorAnswer `json:"error,omitempty"`
	}
	errorAnswer struct {
		Code    fault.Code `json:"code"`
		Message string     `json:"message"`
	}
)

func (h *handler) post(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	number := query.Get("append") + query.Get("seal")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || query.Has("append") == query.Has("seal") {
		sendError(w, fault.New(fault.Invalid, "%q is no offset and no size", number))
		return
	}
	if query.Has("seal") {
		info, err := h.store.Seal(r.Context(), objectName(r), n)
		sendResult(w, info, err)
		return
	}
	written, err := h.store.Append(r.Context(), objectName(r), n, r.Body)
	answer := appendAnswer{Written: written}
	if err != nil {
		answer.Error = answerOf(err)
	}
	sendResult(w, answer, nil)
}

func (h *handler) delete(w http.ResponseWriter, r *http.Request) {
	name := objectName(r)
	var err error
	switch {
	case r.URL.Query().Has("append"):
		err = h.store.Abort(r.Context(), name)
	case strings.HasSuffix(name, "/"):
		err = h.store.DeleteAll(r.Context(), name)
	default:
		err = h.store.Delete(r.Context(), name)
	}
	sendResult(w, struct{}{}, err)
}

func sendResult(w http.ResponseWriter, result any, err error) {
	if err != nil {
		sendError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(result) // the caller has gone: nobody to tell
}

func answerOf(err error) *errorAnswer {
	return &errorAnswer{fault.CodeOf(err), fmt.Sprintf("%.500s", fault.Message(err))}
}

func sendError(w http.ResponseWriter, err error) {
	answer := answerOf(err)
	status := http.StatusInternalServerError
	switch answer.Code {
	case fault.NotFound:
		status = http.StatusNotFound
	case fault.Invalid:
		status = http.StatusBadRequest
	case fault.Conflict:
		status = http.StatusConflict
	case fault.StorageFull:
		status = http.StatusInsufficientStorage
	case fault.Unavailable:
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}
