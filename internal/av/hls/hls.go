// Package hls writes HTTP Live Streaming playlists (RFC 8216, rfc8216bis) for
// fragmented MP4 segments and WebVTT subtitles: a multivariant playlist, media
// playlists of a finished presentation, I-frame playlists and live playlists of
// low latency, and it measures the rates that they declare. Plain structs go in
// and text comes out; what a player would stumble over is an error. Check reads
// live playlists, of anyone, and says which rules they break. The package opens
// no files and knows no encryption.
package hls

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// version is the protocol version that every playlist declares: EXT-X-MAP in a
// playlist of whole segments needs 6, and nothing here needs more (rfc8216bis 8).
const version = "#EXT-X-VERSION:6\n"

// Printable returns s as it may stand in a quoted-string (RFC 8216 4.2), for
// names that come from outside: double quotes become single ones, a run of
// white space or control characters becomes one space, and what is not UTF-8
// is left out.
func Printable(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, ""), `"`, "'")
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
}

// checkQuoted says whether s may stand in a quoted-string.
func checkQuoted(what, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s %q is not UTF-8", what, s)
	}
	for _, r := range s {
		if r == '"' || unicode.IsControl(r) {
			return fmt.Errorf("%s %q holds %q, which a quoted string cannot", what, s, r)
		}
	}
	return nil
}

// checkURI says whether s may stand as a URI, on a line of its own or quoted.
// The characters that RFC 3986 excludes must have been percent-encoded.
func checkURI(s string) error {
	if s == "" {
		return fmt.Errorf("the URI is missing")
	}
	if s[0] == '#' {
		return fmt.Errorf("URI %q would read as a comment", s)
	}
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || strings.IndexByte(`"<>\^{|}`+"`", byte(r)) >= 0 {
			return fmt.Errorf("URI %q holds %q, which must be percent-encoded", s, r)
		}
	}
	return nil
}

// checkLanguage says whether s looks like an RFC 5646 tag; empty means unknown.
func checkLanguage(s string) error {
	for _, r := range s {
		if r > unicode.MaxASCII || r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return fmt.Errorf("language %q is not an RFC 5646 tag", s)
		}
	}
	return nil
}
