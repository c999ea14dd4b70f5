package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"liuyun/internal/base/fault"
)

// problem is the document that every error is answered with (RFC 9457).
type problem struct {
	Type   string       `json:"type" doc:"Always about:blank: code says which kind it is."`
	Title  string       `json:"title" doc:"The words for the status."`
	Status int          `json:"status" doc:"The HTTP status."`
	Code   fault.Code   `json:"code" enum:"invalid,not_found,forbidden,conflict,unavailable,storage_full,limit,canceled,internal" doc:"What kind of error it is; programs may depend on it."`
	Detail string       `json:"detail" doc:"A sentence for people: what is wrong and what to do."`
	Errors []fieldError `json:"errors,omitempty" nullable:"false" doc:"Which parts of the request are wrong."`

	headers http.Header
}

// fieldError says what is wrong with one part of a request. The value is not
// repeated: it may be a secret.
type fieldError struct {
	Location string `json:"location" doc:"Where, such as body.name or query.limit."`
	Message  string `json:"message" doc:"What is wrong there."`
}

const problemType = "application/problem+json"

// statusOf returns the status that err is answered with.
func statusOf(err error) int {
	var own *statusError
	if errors.As(err, &own) {
		return own.status
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	switch codeOf(err) {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.Conflict:
		return http.StatusConflict
	case fault.Unavailable, fault.Canceled:
		return http.StatusServiceUnavailable
	case fault.StorageFull:
		return http.StatusInsufficientStorage
	case fault.Limit:
		return http.StatusTooManyRequests
	default:
		return http.StatusInternalServerError
	}
}

// codeOf is fault.CodeOf, but knows what ends a request from outside.
func codeOf(err error) fault.Code {
	var f *fault.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f.Code
	case errors.As(err, &tooLarge):
		return fault.Limit
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Canceled
	default:
		return fault.Internal
	}
}

// problemOf translates err. Causes stay here: only a fault's message goes out.
func problemOf(err error, requestID string) *problem {
	p := &problem{Type: "about:blank", Status: statusOf(err), Code: codeOf(err), Detail: fault.Message(err), headers: http.Header{}}
	p.Title = title(p.Status)
	var f *fault.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &f):
	case errors.As(err, &tooLarge):
		p.Detail = "the body is larger than " + strconv.FormatInt(tooLarge.Limit, 10) + " bytes; send less"
	case p.Code == fault.Canceled:
		p.Detail = "the request was stopped before it was done; send it again"
	default:
		p.Detail = "something went wrong inside; the server's log says more under request " + requestID
	}
	switch p.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		p.headers.Set("Retry-After", "5")
	case http.StatusInsufficientStorage:
		p.headers.Set("Retry-After", "60")
	}
	return p
}

// title is the text of a status with only its first letter in upper case.
func title(status int) string {
	text := http.StatusText(status)
	if text == "" {
		return "Error"
	}
	_, first := utf8.DecodeRuneInString(text)
	return text[:first] + strings.ToLower(text[first:])
}

// Problem answers a request with err as a problem document (RFC 9457). Operations
// added with [Add] return their error instead; this is for raw handlers and for
// handlers outside the API. Nothing must have been written yet. The error is told
// to the access log.
func Problem(w http.ResponseWriter, r *http.Request, err error) {
	e := exchangeOf(r.Context())
	p := problemOf(err, e.id)
	e.err, e.status = err, p.Status
	p.write(w, r)
}

func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, values := range p.headers {
		header[name] = values
	}
	header.Del("Content-Length")
	header.Del("Etag")
	header.Set("Content-Type", problemType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.Encode(p) // whoever cannot read it has gone
	}
}

// Error, GetStatus, GetHeaders and ContentType let huma answer with a problem.
func (p *problem) Error() string               { return p.Detail }
func (p *problem) GetStatus() int              { return p.Status }
func (p *problem) GetHeaders() http.Header     { return p.headers }
func (p *problem) ContentType(_ string) string { return problemType }

// translate makes problems of the errors that huma finds in requests.
func translate(_ huma.Context, _ string, body any) (any, error) {
	model, ok := body.(*huma.ErrorModel)
	if !ok {
		return body, nil
	}
	p := &problem{Type: "about:blank", Title: title(model.Status), Status: model.Status, Code: codeOfStatus(model.Status), Detail: model.Detail}
	for _, e := range model.Errors {
		if e != nil {
			p.Errors = append(p.Errors, fieldError{e.Location, e.Message})
		}
	}
	if len(p.Errors) > 0 {
		p.Detail = p.Errors[0].Location + ": " + p.Errors[0].Message
		if more := len(p.Errors) - 1; more > 0 {
			p.Detail += "; and " + strconv.Itoa(more) + " more in errors"
		}
	}
	return p, nil
}

// codeOfStatus is the code for what is wrong before a handler runs.
func codeOfStatus(status int) fault.Code {
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return fault.Limit
	case status >= 500:
		return fault.Internal
	default:
		return fault.Invalid
	}
}
