package window

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"time"

	"liuyun/internal/av/mp4"
)

// takeOver makes whole segments of those that were open when the process before was
// killed: as long as the parts are that came to their files. What cannot be taken over
// is a gap.
func (g *Group) takeOver(h *history) {
	for name, list := range h.began {
		for number, began := range list {
			s, err := g.files.takeOver(path.Join(name, segmentURI(number)), began)
			if err != nil {
				g.o.Log.Warn("the open segment of a stream is lost", "folder", g.o.Folder, "name", name, "number", number, "error", err)
			} else if s != nil {
				h.segments[name][number] = s
			}
		}
	}
}

// takeOver cuts an unfinished file behind its last whole part and gives it its name. It
// returns nil where there is none. It may be killed, and called again.
func (f *files) takeOver(name string, began *segmentRecord) (*segmentRecord, error) {
	if began.Clock <= 0 || began.Start < 0 {
		return nil, nil // of a version that did not know them
	}
	at := f.path(name) + scratchSuffix
	file, err := os.OpenFile(at, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) { // it had its name, and no line
		at = f.path(name)
		file, err = os.OpenFile(at, os.O_RDWR, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	pieces := mp4.ReadFragments(file, info.Size())
	if len(pieces) == 0 {
		return nil, nil
	}
	last := pieces[len(pieces)-1]
	s := *began
	s.Size = last.Offset + last.Size
	s.Duration = duration(last.DecodeTime+last.Duration-s.Start, s.Clock)
	if s.Duration <= 0 || s.Duration > longestTaken {
		return nil, nil
	}
	if s.Size < info.Size() {
		if err := file.Truncate(s.Size); err != nil {
			return nil, err
		}
	}
	return &s, os.Rename(at, f.path(name))
}

// longestTaken bounds what a damaged file can make of a window.
const longestTaken = time.Hour
