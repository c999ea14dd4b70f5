// Package blob keeps objects: whole files under names, on the local disk ([FS]),
// on another node ([Remote], which talks to that node's [Handler]) or on S3 ([S3]).
// One conformance suite (blobtest) holds for all three.
//
// A name means whole: what is half written has none, and what Put acknowledged
// survives a kill and a power cut. Objects are replaced as a whole and never
// changed in place. Bytes that arrive over days in pieces, such as an upload, are
// gathered by an [Appender] and get their name when they are sealed.
//
// The package does not know what is in an object, and asks nobody whether the
// caller may have it.
package blob

import (
	"context"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"liuyun/internal/base/fault"
)

// Info describes an object.
type Info struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	// ETag names the bytes: it changes when the object is replaced. Quotes are no
	// part of it.
	ETag string `json:"etag"`
}

// Store keeps objects. All methods may be called from several goroutines. Names
// are checked with [CheckName]. Errors that a caller can act on are faults:
// not_found, invalid (the name), storage_full, unavailable (the other side does not
// answer).
type Store interface {
	// Put stores what r gives, to its end, under name, in place of what was there.
	// The object appears whole or not at all, and is durable when Put returns. An
	// error of r is returned as it is.
	Put(ctx context.Context, name string, r io.Reader) (Info, error)
	// Open returns the object, which stays readable when it is replaced or deleted
	// meanwhile, or fails: it never turns into another one. ctx bounds all reading.
	Open(ctx context.Context, name string) (Object, error)
	// Stat describes the object without reading it.
	Stat(ctx context.Context, name string) (Info, error)
	// List calls fn for each object whose name begins with prefix, in order of name,
	// until fn fails. The prefix is empty or ends in "/". What is put or deleted
	// meanwhile may be missing.
	List(ctx context.Context, prefix string, fn func(Info) error) error
	// Delete removes an object. That it is absent is no error.
	Delete(ctx context.Context, name string) error
	// DeleteAll removes all objects below prefix, which ends in "/".
	DeleteAll(ctx context.Context, prefix string) error
}

// Object is an open object. Read, Seek and ReadAt may not be mixed by several
// goroutines, but ReadAt alone may be called by many. The caller closes it.
type Object interface {
	io.ReadSeekCloser
	io.ReaderAt
	Info() Info
}

// Filer is an Object that is a file of this machine. The file is the object's: it
// is closed with it, and never written to. With it http.ServeContent sends by
// sendfile.
type Filer interface {
	File() *os.File
}

// Appender gathers an object from pieces that arrive one after the other. What is
// gathered has no name: Open, Stat and List do not see it, until Seal. All methods
// may be called from several goroutines, but one name may have only one Append at a
// time: the caller sees to that.
type Appender interface {
	// Append adds what r gives at offset, which must be the present size: otherwise
	// it is a conflict. What it returns as written is durable, also when it returns
	// an error of r besides.
	Append(ctx context.Context, name string, offset int64, r io.Reader) (written int64, err error)
	// Appended returns how many bytes are gathered and durable: 0 when there are none.
	Appended(ctx context.Context, name string) (int64, error)
	// Seal makes what was gathered the object called name, in place of what was
	// there. It is a conflict when its size is another one. To seal again what was
	// sealed with the same size is no error.
	Seal(ctx context.Context, name string, size int64) (Info, error)
	// Abort drops what was gathered. That there is nothing is no error.
	Abort(ctx context.Context, name string) error
}

// maxName is the longest name in bytes, maxPart the longest of its parts: what file
// systems and S3 both take.
const (
	maxName = 512
	maxPart = 255
)

// CheckName returns a fault of code invalid unless name can be an object's: 1 to
// 512 bytes of UTF-8, parts of at most 255 bytes between slashes, none empty, "."
// or "..", the first not beginning with a dot, no control characters, no backslash.
func CheckName(name string) error {
	if reason := badName(name); reason != "" {
		return fault.New(fault.Invalid, "%.80q cannot be the name of an object: %s", name, reason)
	}
	return nil
}

// CheckPrefix returns a fault of code invalid unless prefix ends in "/" and is a
// name without it.
func CheckPrefix(prefix string) error {
	name, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return fault.New(fault.Invalid, "the prefix %.80q has to end in a slash", prefix)
	}
	return CheckName(name)
}

func badName(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > maxName:
		return "it is longer than 512 bytes"
	case !utf8.ValidString(name):
		return "it is not UTF-8"
	case name[0] == '.':
		return "it begins with a dot"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || 0x80 <= r && r < 0xa0 }):
		return "it holds a control character or a backslash"
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return "it begins or ends with a slash, or has two in a row"
		case part == "." || part == "..":
			return "it holds a part . or .."
		case len(part) > maxPart:
			return "one of its parts is longer than 255 bytes"
		}
	}
	return ""
}

func notFound(name string) error {
	return fault.New(fault.NotFound, "there is no object %q", name)
}
