package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Code says what kind of thing went wrong. Codes are stable.
type Code string

// The codes.
const (
	Internal    Code = "internal"     // a defect of the server
	Invalid     Code = "invalid"      // the request is bad
	NotFound    Code = "not_found"    // no such thing, or it is another tenant's
	Forbidden   Code = "forbidden"    // the key is missing or may not do this
	Conflict    Code = "conflict"     // the state does not allow it now
	Unavailable Code = "unavailable"  // something the server needs is down
	StorageFull Code = "storage_full" // no room on the server's disk
	Limit       Code = "limit"        // too large, too many, too fast
	Canceled    Code = "canceled"     // stopped on request
)

// Error is an answer that is no success (RFC 9457).
type Error struct {
	Status int          // of HTTP
	Code   Code         // never empty
	Title  string       // what kind of error, in two words
	Detail string       // what is wrong and what to do
	Fields []FieldError // which parts of the request are wrong, if that is known

	retryAfter time.Duration
}

// FieldError says what is wrong with one part of a request.
type FieldError struct {
	Location string `json:"location"` // such as body.name
	Message  string `json:"message"`
}

// Error returns the detail with the fields.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(e.Detail)
	for _, f := range e.Fields {
		fmt.Fprintf(&text, "\n%s: %s", f.Location, f.Message)
	}
	return text.String()
}

// CodeOf returns the code of the [*Error] in err's chain, or "" when there is
// none: then no answer came.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// largestProblem bounds what is read of an answer that is an error.
const largestProblem = 64 << 10

// errorOf reads an answer that is no success. It does not close the body.
func errorOf(response *http.Response) *Error {
	e := &Error{Status: response.StatusCode, retryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	body, _ := io.ReadAll(io.LimitReader(response.Body, largestProblem))
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") {
		var problem struct {
			Title  string       `json:"title"`
			Code   Code         `json:"code"`
			Detail string       `json:"detail"`
			Errors []FieldError `json:"errors"`
		}
		if json.Unmarshal(body, &problem) == nil {
			e.Title, e.Code, e.Detail, e.Fields = problem.Title, problem.Code, problem.Detail, problem.Errors
		}
	}
	if e.Title == "" {
		e.Title = http.StatusText(e.Status)
	}
	if e.Code == "" {
		e.Code = codeOfStatus(e.Status)
	}
	if e.Detail == "" {
		e.Detail = detailOf(response, body)
	}
	return e
}

// detailOf describes an answer that does not describe itself: it may come from
// something that stands in front of the cloud.
func detailOf(response *http.Response, body []byte) string {
	if location := response.Header.Get("Location"); location != "" && response.StatusCode < 400 {
		return fmt.Sprintf("the server sends to %s; use that address", location)
	}
	detail := fmt.Sprintf("the server answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	text, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") && text != "" && len(text) <= 200 {
		detail += ": " + text
	}
	return detail
}

// codeOfStatus is the code of an answer that names none.
func codeOfStatus(status int) Code {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return Invalid
	case http.StatusUnauthorized, http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusLocked:
		return Conflict
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge:
		return Limit
	case http.StatusInsufficientStorage:
		return StorageFull
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Unavailable
	}
	return Internal
}

// retryAfter reads the header Retry-After: seconds, or a time.
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if d, err := time.ParseDuration(value + "s"); err == nil {
		return max(0, d)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
