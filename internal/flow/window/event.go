package window

import (
	"liuyun/internal/av/hls"
	"liuyun/internal/av/mp4"
)

const captionsPrefix = "captions"

// untold returns the events after the one of that number.
func (g *Group) untold(told uint64) ([]mp4.Event, uint64) {
	return nil, told
}

const captionsGroup = "captions"

func (g *Group) captionsMedia() []hls.Media { return nil }
