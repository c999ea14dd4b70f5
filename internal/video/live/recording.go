package live

import (
	"context"
	"math"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/flow/record"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/store"
)

// Assets keep what is recorded.
type Assets interface {
	// Begin makes an asset that grows, in the transaction, and says below which prefix
	// its objects are to lie.
	Begin(tx *store.Tx, of Recorded) (asset, folder string, err error)
	// Grow notes how many bytes are stored. It is not found when the asset is deleted.
	Grow(ctx context.Context, asset string, bytes int64) error
	// End makes the asset ready, or has it fail for a cause. It is not found when the
	// asset is deleted.
	End(tx *store.Tx, asset string, end RecordingEnd) error
}

// Recorded says what an asset is to be a recording of.
type Recorded struct {
	Stream, Tenant, Name string
	Policy               Policy
}

// RecordingEnd is how a recording ended.
type RecordingEnd struct {
	Result     *encode.Result // or nil, and
	Cause      error
	Start, End time.Time // of day
	Scrap      string    // objects that are not needed any more begin with it
}

// recording is the record of one that is not finished.
type recording struct {
	Asset, Stream, Tenant, Node string
	Folder                      string
	First, Last                 int64 // numbers of segments; 0 is not known yet
	Clip                        bool  // of what is in the window already
	Started                     time.Time
}

// recorder copies one recording. Service.recordMu guards row.Last and next.
type recorder struct {
	row  recording
	copy *record.Recording
	next int64 // everything before it is copied
}

// on reports whether it goes on with its stream.
func (r *recorder) on() bool { return !r.row.Clip && r.row.Last == 0 }

// resumeRecordings goes on with what was being recorded here when the server ended.
// Sessions that go on too are there already.
func (s *Service) resumeRecordings(ctx context.Context) error {
	var list []recording
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = listRecordings(tx, `WHERE node = ?`, s.Node)
		return err
	})
	if err != nil {
		return err
	}
	for _, row := range list {
		if row.Clip {
			s.takeClip(row.Stream, math.MaxInt) // it was taken before the server ended
		}
		if err := s.copyRecording(row); err != nil {
			if row.Clip {
				s.endClip(row.Stream)
			}
			s.Log.Error("a recording does not go on", "asset", row.Asset, "stream", row.Stream, "cause", err)
			continue
		}
		if s.current(row.Stream) == nil {
			s.endRecording(ctx, row.Stream)
		}
	}
	return nil
}

// beginRecording begins to record a stream from a segment on, or makes a clip of what
// is in its window up to last.
func (s *Service) beginRecording(ctx context.Context, r *stream, row recording, name string) (recording, error) {
	row.Stream, row.Tenant, row.Node, row.Started = r.ID, r.Tenant, s.Node, time.Now().UTC()
	err := s.DB.Write(ctx, func(tx *store.Tx) (err error) {
		row.Asset, row.Folder, err = s.Assets.Begin(tx, Recorded{Stream: r.ID, Tenant: r.Tenant, Name: name, Policy: r.Policy})
		if err != nil {
			return err
		}
		return insertRecording(tx, &row)
	})
	if err != nil {
		return row, err
	}
	s.Log.Info("a stream is recorded", "stream", r.ID, "asset", row.Asset, "clip", row.Clip)
	return row, s.copyRecording(row)
}

// copyRecording starts copying.
func (s *Service) copyRecording(row recording) error {
	ctx := s.context()
	if ctx.Err() != nil {
		return fault.New(fault.Unavailable, "the server is stopping; what was to be recorded goes on when it is back")
	}
	group, done, err := s.openWindow(row.Stream)
	if err != nil {
		return err
	}
	rec := &recorder{row: row, next: row.First}
	rec.copy = &record.Recording{
		Source: group, Objects: s.Objects, Folder: row.Folder, First: row.First, Log: s.Log.With("asset", row.Asset, "stream", row.Stream),
		Noted: func(ctx context.Context, next int64, state record.State) error {
			if err := s.Assets.Grow(ctx, row.Asset, state.Bytes); err != nil {
				return err
			}
			s.recordMu.Lock()
			rec.next = next
			s.recordMu.Unlock()
			s.hold(group, row.Stream)
			return nil
		},
	}
	if row.Last > 0 {
		rec.copy.End(row.Last)
	}
	s.recordMu.Lock()
	s.recorders[row.Asset] = rec
	s.recordMu.Unlock()
	s.hold(group, row.Stream)
	s.work.Go(func() {
		defer done()
		s.runRecording(ctx, rec, group)
	})
	return nil
}

// hold has the window keep what is not copied yet.
func (s *Service) hold(group *window.Group, stream string) {
	s.recordMu.Lock()
	defer s.recordMu.Unlock()
	from := int64(0)
	for _, rec := range s.recorders {
		if rec.row.Stream == stream && (from == 0 || rec.next < from) {
			from = rec.next
		}
	}
	group.Hold(from)
}

// runRecording copies until the end, or until ctx ends: then another process goes on.
func (s *Service) runRecording(ctx context.Context, rec *recorder, group *window.Group) {
	result, cause := rec.copy.Run(ctx)
	if ctx.Err() != nil {
		return
	}
	end := RecordingEnd{Cause: cause, Scrap: rec.row.Folder + record.Index}
	if cause == nil {
		end.Result, end.Start, end.End = &result.Result, result.Start, result.End
	}
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		err := s.finishRecording(ctx, rec, end)
		if err == nil || ctx.Err() != nil {
			break
		}
		s.Log.Warn("the end of a recording is not written yet; it is tried again", "asset", rec.row.Asset, "cause", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
	if cause != nil {
		s.Log.Warn("a recording has ended without a result", "asset", rec.row.Asset, "stream", rec.row.Stream, "cause", cause)
	}
	s.recordMu.Lock()
	going := rec.on()
	s.recordMu.Unlock()
	if going && fault.CodeOf(cause) == fault.NotFound {
		s.recordAnew(rec.row.Stream) // somebody has deleted it: what was in it does not come back
	}
	s.recordMu.Lock()
	delete(s.recorders, rec.row.Asset)
	s.recordMu.Unlock()
	if rec.row.Clip {
		s.endClip(rec.row.Stream)
	}
	s.hold(group, rec.row.Stream)
	if err := s.forgetDeleted(ctx, rec.row.Stream); err != nil && ctx.Err() == nil {
		s.Log.Warn("the window of a deleted stream stays until the server starts again", "stream", rec.row.Stream, "cause", err)
	}
}

// recordAnew has what is recorded next of a stream begin with what is open now.
func (s *Service) recordAnew(stream string) {
	l := s.current(stream)
	if l == nil {
		return
	}
	open, _ := l.group.Next()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.from = max(l.from, open)
}

// finishRecording writes how it ended. Nothing is written of an asset that is deleted.
func (s *Service) finishRecording(ctx context.Context, rec *recorder, end RecordingEnd) error {
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		if err := s.Assets.End(tx, rec.row.Asset, end); err != nil && fault.CodeOf(err) != fault.NotFound {
			return err
		}
		return deleteRecording(tx, rec.row.Asset)
	})
}

// followRecording begins and ends recording a stream, as its record wants it.
func (s *Service) followRecording(ctx context.Context, l *session, status Status) {
	l.mu.Lock()
	want, from := l.record, l.from
	l.mu.Unlock()
	on := s.recorderOf(l.id) != nil
	switch {
	case want && !on && status == Live:
		r, err := s.streamOf(ctx, l.id)
		if err == nil && r.Record {
			name := r.Name + " " + time.Now().UTC().Format("2006-01-02 15:04")
			_, err = s.beginRecording(ctx, r, recording{First: from}, name)
		}
		if err != nil && ctx.Err() == nil && fault.CodeOf(err) != fault.NotFound {
			l.log.Warn("the stream is not recorded yet; it is tried again", "cause", err)
		}
	case !want && on:
		s.endRecording(ctx, l.id)
	}
}

func (s *Service) streamOf(ctx context.Context, id string) (r *stream, err error) {
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		r, err = findStream(tx, "", id)
		return err
	})
	return r, err
}

// wantRecording takes over what the record of a stream says.
func (s *Service) wantRecording(r *stream) {
	l := s.current(r.ID)
	if l == nil {
		return
	}
	open, _ := l.group.Next()
	l.mu.Lock()
	if r.Record && !l.record {
		l.from = open
	}
	l.record = r.Record
	l.mu.Unlock()
	l.poke()
}

// recorderOf returns the recorder that goes on with a stream, or nil.
func (s *Service) recorderOf(stream string) *recorder {
	s.recordMu.Lock()
	defer s.recordMu.Unlock()
	for _, rec := range s.recorders {
		if rec.row.Stream == stream && rec.on() {
			return rec
		}
	}
	return nil
}

// endRecording ends what goes on with a stream behind the segment that is open now.
func (s *Service) endRecording(ctx context.Context, stream string) {
	rec := s.recorderOf(stream)
	if rec == nil {
		return
	}
	group, done, err := s.openWindow(stream)
	if err != nil {
		s.Log.Error("a recording does not end", "stream", stream, "cause", err)
		return
	}
	defer done()
	last, next := group.Next()
	if last == next { // nothing is open
		last--
	}
	last = max(last, 1)
	if err := s.DB.Write(ctx, func(tx *store.Tx) error { return endRecordingAt(tx, rec.row.Asset, last) }); err != nil {
		s.Log.Warn("that a recording has ended was not noted: after a kill it would go on", "asset", rec.row.Asset, "cause", err)
	}
	s.recordMu.Lock()
	rec.row.Last = last
	s.recordMu.Unlock()
	rec.copy.End(last)
}

// forgetDeleted removes the window of a stream that is deleted, when nothing is
// recorded of it any more.
func (s *Service) forgetDeleted(ctx context.Context, stream string) error {
	s.recordMu.Lock()
	for _, rec := range s.recorders {
		if rec.row.Stream == stream {
			s.recordMu.Unlock()
			return nil
		}
	}
	s.recordMu.Unlock()
	_, err := s.streamOf(ctx, stream)
	if fault.CodeOf(err) == fault.NotFound {
		return s.forget(stream)
	}
	return err
}

// StreamRecording is what is recorded of a stream now.
type StreamRecording struct {
	Asset    string    `json:"asset" doc:"ast_…, which is ready when the recording has ended."`
	Since    time.Time `json:"since"`
	Duration float64   `json:"duration" doc:"Seconds that are stored."`
	Stored   int64     `json:"stored" doc:"Bytes of that."`
	Problem  string    `json:"problem" doc:"Why nothing can be stored for now; else empty."`
}

// recordingOf is what is recorded of a stream here now, or nil. Where the last one is
// not stored yet, it is that.
func (s *Service) recordingOf(stream string) *StreamRecording {
	s.recordMu.Lock()
	defer s.recordMu.Unlock()
	var newest *recorder
	for _, rec := range s.recorders {
		if rec.row.Stream == stream && !rec.row.Clip && (newest == nil || rec.row.Started.After(newest.row.Started)) {
			newest = rec
		}
	}
	if newest == nil {
		return nil
	}
	state := newest.copy.State()
	d := &StreamRecording{
		Asset: newest.row.Asset, Since: newest.row.Started, Duration: rounded(state.Duration.Seconds()), Stored: state.Bytes,
	}
	if state.Problem != nil {
		d.Problem = fault.Message(state.Problem)
	}
	return d
}

// recordingProblems say why nothing can be stored of what is recorded of a stream.
func (s *Service) recordingProblems(stream string) []StreamProblem {
	s.recordMu.Lock()
	defer s.recordMu.Unlock()
	for _, rec := range s.recorders {
		if rec.row.Stream != stream {
			continue
		}
		if err := rec.copy.State().Problem; err != nil {
			return []StreamProblem{{Code: "recording", Message: "the recording waits, because it cannot be stored: " + fault.Message(err) +
				"; it goes on by itself, and nothing is lost while the window has room on the disk"}}
		}
	}
	return nil
}
