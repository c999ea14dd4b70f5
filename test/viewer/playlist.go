package viewer

import (
	"bytes"
	"errors"
	"strconv"
)

// version is what a player of low latency takes from a version of a media playlist.
// Its slices are of the text.
type version struct {
	next  int64    // number of the segment that is open
	parts int      // that the open segment has
	uris  [][]byte // of all parts, the oldest first
	hint  []byte   // the one that comes next; nil is unknown
	init  []byte   // what the newest segment is decoded with; nil in most delta updates
	ended bool
}

// parse reads a media playlist. It checks nothing that it has no use for: that is
// hls.Check's business.
func (v *version) parse(text []byte) error {
	*v = version{uris: v.uris[:0]}
	if !bytes.HasPrefix(text, []byte("#EXTM3U")) {
		return errors.New("no playlist")
	}
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		line = bytes.TrimRight(line, "\r")
		name, value, _ := bytes.Cut(line, []byte(":"))
		var err error
		switch string(name) {
		case "":
		case "#EXT-X-MEDIA-SEQUENCE":
			err = v.skip(value)
		case "#EXT-X-SKIP":
			err = v.skip(attribute(value, "SKIPPED-SEGMENTS"))
		case "#EXT-X-MAP":
			v.init = unquote(attribute(value, "URI"))
		case "#EXT-X-PART":
			v.parts++
			v.uris = append(v.uris, unquote(attribute(value, "URI")))
		case "#EXT-X-PRELOAD-HINT":
			if string(attribute(value, "TYPE")) == "PART" {
				v.hint = unquote(attribute(value, "URI"))
			}
		case "#EXT-X-ENDLIST":
			v.ended = true
		default:
			if line[0] != '#' { // a whole segment
				v.next++
				v.parts = 0
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *version) skip(number []byte) error {
	n, err := strconv.ParseInt(string(number), 10, 64)
	v.next += n
	return err
}

// attribute is the value of one of an attribute list; nil where it is not there.
func attribute(list []byte, name string) []byte {
	for len(list) > 0 {
		key, rest, found := bytes.Cut(list, []byte("="))
		if !found {
			return nil
		}
		end := bytes.IndexByte(rest, ',')
		if len(rest) > 0 && rest[0] == '"' {
			end = bytes.IndexByte(rest[1:], '"')
			if end < 0 {
				return nil
			}
			end += 2
		}
		if end < 0 || end > len(rest) {
			end = len(rest)
		}
		if string(key) == name {
			return rest[:end]
		}
		list = bytes.TrimPrefix(rest[end:], []byte(","))
	}
	return nil
}

func unquote(value []byte) []byte { return bytes.Trim(value, `"`) }

// renditions are the addresses of the media playlists that a viewer plays together:
// the first variant, and the sound that is its default.
func renditions(master []byte) (uris []string) {
	next := false
	for line := range bytes.Lines(master) {
		line = bytes.TrimRight(line, "\r\n")
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case string(name) == "#EXT-X-MEDIA":
			if uri := unquote(attribute(value, "URI")); string(attribute(value, "TYPE")) == "AUDIO" && string(attribute(value, "DEFAULT")) == "YES" && len(uri) > 0 {
				uris = append(uris, string(uri))
			}
		case string(name) == "#EXT-X-STREAM-INF":
			next = true
		case next && len(line) > 0 && line[0] != '#':
			return append(uris, string(line))
		}
	}
	return nil
}
