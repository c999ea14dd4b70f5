package web

import (
	"net/http"
	"strconv"
	"strings"

	"liuyun/internal/base/fault"
)

// Page is a list, newest first, and where it goes on.
type Page[T any] struct {
	Data []T    `json:"data" nullable:"false"`
	Next string `json:"next" doc:"Cursor of the next page for the parameter after; empty at the end."`
}

// PageQuery is embedded by the input of a list.
type PageQuery struct {
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many to return."`
	After string `query:"after" maxLength:"512" doc:"The cursor in next of the page before."`
}

// ETag returns the entity tag of revision rev, quotes included.
func ETag(rev int64) string { return `"` + strconv.FormatInt(rev, 10) + `"` }

// CheckMatch compares the If-Match header of a request with the present revision:
// nil when it is absent, * or names it, else an error that is answered with 412.
func CheckMatch(ifMatch string, rev int64) error {
	if ifMatch == "" {
		return nil
	}
	for tag := range strings.SplitSeq(ifMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == ETag(rev) {
			return nil
		}
	}
	return WithStatus(http.StatusPreconditionFailed, fault.New(fault.Conflict,
		"somebody has changed it in the meantime (If-Match names %s, it is %s); read it again and repeat the change", ifMatch, ETag(rev)))
}

// WithStatus makes err be answered with an HTTP status that its code does not
// imply, such as 412 or 413. A nil err stays nil.
func WithStatus(status int, err error) error {
	if err == nil {
		return nil
	}
	return &statusError{err, status}
}

type statusError struct {
	error
	status int
}

func (e *statusError) Unwrap() error { return e.error }
