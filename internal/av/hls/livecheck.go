package hls

import "fmt"

// Problem is one breach of a rule.
type Problem struct {
	Line    int    // of the text, from 1; 0 means the playlist as a whole
	Section string // of rfc8216bis
	Text    string
}

// String returns the problem as one line.
func (p Problem) String() string {
	return fmt.Sprintf("line %d: %s (rfc8216bis %s)", p.Line, p.Text, p.Section)
}

// Checked is a playlist that Check has read, whatever problems it has.
type Checked struct {
	// Playlist is what the text says. In a delta update Segments begins with
	// the segments that were skipped, as the playlist before had them.
	Playlist LivePlaylist
}

// Check reads a live media playlist and holds it against the rules of
// rfc8216bis: those of a single document and, if previous is not nil, those
// between it and the version before. A delta update needs previous. text may
// be anything: time and memory are bounded by its length.
func Check(text []byte, previous *Checked) (*Checked, []Problem) {
	return &Checked{}, nil
}
