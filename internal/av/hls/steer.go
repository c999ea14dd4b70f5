package hls

import (
	"bytes"
	"errors"
	"fmt"
)

// longestMultivariant bounds a playlist that AppendSteered takes.
const longestMultivariant = 1 << 20

// AppendSteered appends a multivariant playlist to dst that says where its players are
// steered from (EXT-X-CONTENT-STEERING, rfc8216bis 4.4.6.6): server, a URI that is
// relative to the playlist's own. Everything in the playlist is of the pathway ".", that
// of tags without PATHWAY-ID; others come as clones of it in the steering manifest, which
// replace the host of what the URIs of the playlist resolve to. So nothing else changes,
// and the playlist need not be made anew. A playlist that is steered already, has pathways,
// is none of variants, or is longer than 1 MiB is an error, and dst is returned as it was.
func AppendSteered(dst, playlist []byte, server string) ([]byte, error) {
	if err := checkURI(server); err != nil {
		return dst, fmt.Errorf("steering server: %w", err)
	}
	if len(playlist) > longestMultivariant {
		return dst, fmt.Errorf("the playlist is longer than %d bytes", longestMultivariant)
	}
	head, variants := 0, false
	for at := 0; at < len(playlist); {
		line := playlist[at:]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line = line[:end+1]
		}
		name, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(":"))
		switch first := at == 0; string(name) {
		case "#EXTM3U":
			if first {
				head = len(line)
			}
		case "#EXT-X-STREAM-INF":
			variants = true
			if bytes.Contains(line, []byte("PATHWAY-ID=")) {
				return dst, errors.New("the playlist has pathways of its own")
			}
		case "#EXT-X-CONTENT-STEERING":
			return dst, errors.New("the playlist is steered already")
		}
		at += len(line)
	}
	if head == 0 || !variants || playlist[head-1] != '\n' {
		return dst, errors.New("it is no multivariant playlist")
	}
	dst = append(dst, playlist[:head]...)
	dst = append(dst, `#EXT-X-CONTENT-STEERING:SERVER-URI="`...)
	dst = append(append(dst, server...), `",PATHWAY-ID="."`+"\n"...)
	return append(dst, playlist[head:]...), nil
}
