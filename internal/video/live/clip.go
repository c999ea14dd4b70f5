package live

import (
	"context"
	"net/http"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/web"
)

// NewClip says what of a stream's window is to be a clip.
type NewClip struct {
	Name  string     `json:"name,omitempty" maxLength:"500" doc:"For people; without one that of the stream and the time."`
	Start *time.Time `json:"start,omitempty" doc:"The time of day with which it begins."`
	End   *time.Time `json:"end,omitempty" doc:"And ends; now unless said."`
	Last  float64    `json:"last,omitempty" minimum:"0" maximum:"604800" doc:"Seconds before the end, in place of start."`
}

// Clip is what is made of a window.
type Clip struct {
	Asset string     `json:"asset" doc:"ast_…, which is ready when all of it is stored."`
	Name  string     `json:"name"`
	Start time.Time  `json:"start" doc:"When it really begins: at the key frame before what was asked."`
	End   *time.Time `json:"end" doc:"When it really ends; null where that is not known before the asset is ready, because it goes up to now."`
}

type clipInput struct {
	StreamPath
	Body NewClip
}

type clipOutput struct{ Body *Clip }

// clipRoutes adds the operations of clips.
func (s *Service) clipRoutes(api *web.API, op func(id, method, path, summary, scope string) web.Op) {
	clip := op("create-clip", http.MethodPost, "/v1/streams/{id}/clips", "Make an asset of a part of the window", guard.AssetsWrite)
	clip.Status = http.StatusAccepted
	clip.Description = "Nothing is encoded again, so that it is cut between segments: it begins at or before start, at a key frame, and ends at or after end. The answer says where. Who may play the stream may play it."
	web.Add(api, clip, s.apiClip)
}

// mostClips are how many may be made of one stream at a time.
const mostClips = 16

func (s *Service) apiClip(ctx context.Context, in *clipInput) (*clipOutput, error) {
	r, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	from, to, err := in.Body.span(time.Now())
	if err != nil {
		return nil, err
	}
	name, err := cleanName(in.Body.Name)
	if err != nil {
		return nil, err
	}
	group, done, err := s.findWindow(r.ID)
	if err != nil {
		return nil, err
	}
	defer done()
	rows := group.Rows(from, to)
	if rows = fromKey(group, rows, from); len(rows) == 0 {
		return nil, fault.New(fault.NotFound, "the window has nothing from %s to %s: it goes back %s",
			from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339), group.Health().Window.Round(time.Second))
	}
	first, last := rows[0].Cells[0], rows[len(rows)-1].Cells[0]
	clip := &Clip{Name: name, Start: first.Time}
	if clip.Name == "" {
		clip.Name = r.Name + " " + first.Time.UTC().Format("2006-01-02 15:04:05")
	}
	row := recording{First: first.Number, Last: last.Number, Clip: true}
	end := last.End()
	if open, next := group.Next(); end.Before(to) && open < next && row.Last == open-1 {
		row.Last = open // what is open now belongs to it
	} else {
		clip.End = &end
	}
	clip.Asset, err = s.beginClip(ctx, r, row, clip.Name)
	return &clipOutput{clip}, err
}

// beginClip begins a clip, unless there are as many of the stream as may be.
func (s *Service) beginClip(ctx context.Context, r *stream, row recording, name string) (asset string, err error) {
	if !s.takeClip(r.ID, mostClips) {
		return "", fault.New(fault.Limit, "%d clips of this stream are being stored, which is the most: wait until one is ready", mostClips)
	}
	row, err = s.beginRecording(ctx, r, row, name)
	if err != nil {
		s.endClip(r.ID)
	}
	return row.Asset, err
}

// takeClip counts one more clip of a stream, unless there are that many.
func (s *Service) takeClip(stream string, most int) bool {
	s.recordMu.Lock()
	defer s.recordMu.Unlock()
	if s.clips[stream] >= most {
		return false
	}
	s.clips[stream]++
	return true
}

// endClip counts one less: it is ready, or was not begun.
func (s *Service) endClip(stream string) {
	s.recordMu.Lock()
	defer s.recordMu.Unlock()
	s.clips[stream]--
	if s.clips[stream] == 0 {
		delete(s.clips, stream)
	}
}

// span is the range that is asked for.
func (n *NewClip) span(now time.Time) (from, to time.Time, err error) {
	to = now
	if n.End != nil {
		to = *n.End
	}
	if to.After(now) { // what is to come may not
		to = now
	}
	switch {
	case (n.Start == nil) == (n.Last == 0):
		return from, to, fault.New(fault.Invalid, "say either start or last: where the clip begins, or how many seconds it has")
	case n.Start != nil:
		from = *n.Start
	default:
		from = to.Add(-time.Duration(n.Last * float64(time.Second)))
	}
	if !from.Before(to) || from.After(now) {
		return from, to, fault.New(fault.Invalid, "the clip would begin at %s and end at %s: it has to begin in the past, and to end after it begins",
			from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	}
	return from, to, nil
}

// fromKey has rows begin with a key frame: with the last one before them, or else the
// first one of theirs.
func fromKey(group *window.Group, rows []*window.Row, from time.Time) []*window.Row {
	usable := func(row *window.Row) bool { return !row.Cells[0].Gap && !row.Cells[0].Dependent }
	if len(rows) == 0 || usable(rows[0]) {
		return rows
	}
	before := group.Rows(time.Time{}, from)
	for i := len(before) - 1; i >= 0 && rows[0].Cells[0].Dependent; i-- {
		if row := before[i]; row.Number < rows[0].Number {
			rows = append([]*window.Row{row}, rows...)
		}
		if usable(rows[0]) {
			return rows
		}
	}
	for len(rows) > 0 && !usable(rows[0]) {
		rows = rows[1:]
	}
	return rows
}
