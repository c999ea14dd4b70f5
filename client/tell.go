package client

import (
	"context"
	"time"
)

// NewCaption is a text that viewers see who want captions in its language.
type NewCaption struct {
	Language string // RFC 5646
	Text     string // "" announces the language to players that come
	Start    time.Time
	Duration time.Duration // 0 is five seconds
}

// Caption shows a text while a stream is on air.
func (s Streams) Caption(ctx context.Context, id string, c NewCaption) error {
	in := struct {
		Language string     `json:"language"`
		Text     string     `json:"text"`
		Start    *time.Time `json:"start,omitempty"`
		Duration float64    `json:"duration,omitempty"`
	}{c.Language, c.Text, given(c.Start), c.Duration.Seconds()}
	return s.c.post(ctx, at(streamsPath, id)+"/captions", in, nil)
}

// NewMarker is what players are told of a time of a stream. Break and SCTE35 exclude
// each other, and ID, Class and Attributes.
type NewMarker struct {
	ID, Class  string
	Start      time.Time // zero is now
	Duration   time.Duration
	Attributes map[string]string
	Break      string // "out" or "in"
	Event      uint32 // of the break
	SCTE35     []byte // a splice_info_section
}

// Mark tells players of a time while a stream is on air, and returns the ID of what it
// is told by.
func (s Streams) Mark(ctx context.Context, id string, m NewMarker) (string, error) {
	in := struct {
		ID         string            `json:"id,omitempty"`
		Class      string            `json:"class,omitempty"`
		Start      *time.Time        `json:"start,omitempty"`
		Duration   float64           `json:"duration,omitempty"`
		Attributes map[string]string `json:"attributes,omitempty"`
		Break      string            `json:"break,omitempty"`
		Event      uint32            `json:"event,omitempty"`
		SCTE35     []byte            `json:"scte35,omitempty"`
	}{m.ID, m.Class, given(m.Start), m.Duration.Seconds(), m.Attributes, m.Break, m.Event, m.SCTE35}
	var out struct {
		ID string `json:"id"`
	}
	err := s.c.post(ctx, at(streamsPath, id)+"/markers", in, &out)
	return out.ID, err
}

// given is nil for the zero Time.
func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
