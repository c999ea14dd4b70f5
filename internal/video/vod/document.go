package vod

import (
	"net/url"
	"strings"
	"time"

	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/job"
	"liuyun/internal/kit/store"
)

// document is the asset as the API and events show it.
func (s *Service) document(tx *store.Tx, a *asset) (*Asset, error) {
	d := &Asset{
		ID: a.ID, Name: a.Name, Status: a.Status, Error: a.Error, Size: a.Size, Options: a.Options,
		Tracks: []encode.Track{}, Renditions: []encode.Rendition{}, Subtitles: []SubtitleState{}, Warnings: []encode.Warning{},
		Recording: a.Recorded.document(), CreatedAt: a.Created, UpdatedAt: a.Updated, Rev: a.Rev,
	}
	d.Spent = a.spent(s.Currency)
	if !a.ReadyAt.IsZero() {
		d.ReadyAt = &a.ReadyAt
	}
	if err := s.addProgress(tx, a, d); err != nil {
		return nil, err
	}
	var err error
	if d.Comparison, err = s.comparison(tx, a); err != nil {
		return nil, err
	}
	d.Subtitles = append(d.Subtitles, subtitleStates(a)...)
	var expires time.Time
	if a.Policy == Signed {
		expires = time.Now().Add(s.Viewer.SignedFor).Truncate(time.Second).UTC()
	}
	d.Playback, d.Thumbnails = s.addresses(a, expires)
	r := a.Result
	if r == nil {
		return d, nil
	}
	d.Duration, d.Stored = r.Duration, r.Stored
	d.Tracks = append(d.Tracks, r.Tracks...)
	d.Warnings = append(d.Warnings, r.Warnings...)
	for _, rendition := range r.Renditions {
		if rendition.MP4 != "" {
			rendition.MP4 = s.address("play", a, expires, rendition.MP4)
		}
		d.Renditions = append(d.Renditions, rendition)
	}
	return d, nil
}

// addProgress says how far an asset is, and what holds it up.
func (s *Service) addProgress(tx *store.Tx, a *asset, d *Asset) error {
	switch a.Status {
	case Ready:
		d.Progress = 1
		return nil
	case Uploading:
		d.Phase = "upload"
		if a.Size > 0 {
			d.Progress = float64(a.Received) / float64(a.Size)
		}
		return nil
	case Recording:
		d.Phase = "record"
		return nil
	case Created, Failed:
		return nil
	}
	if a.Source == "" {
		d.Phase = "import"
	}
	if entry, ok := s.progress.get(a.ID); ok {
		d.Progress, d.Phase = entry.fraction, entry.phase
	}
	if a.Job == "" {
		return nil
	}
	var err error
	d.WaitingFor, err = s.hold(tx, a)
	return err
}

// hold is what holds up the jobs of an asset, or nil. Where objects have no room nobody
// begins anything; where only a worker has none, the job that found out is held until
// another takes it.
func (s *Service) hold(tx *store.Tx, a *asset) (*string, error) {
	hold := job.HoldStorage
	if s.Room() == nil {
		var err error
		if hold, err = s.Jobs.Hold(tx, a.Tenant, a.ID); err != nil {
			return nil, err
		}
	}
	if hold == "" {
		return nil, nil
	}
	return &hold, nil
}

// addresses are where an asset plays; they hold until expires, or for ever.
func (s *Service) addresses(a *asset, expires time.Time) (Playback, Thumbnails) {
	p := Playback{Policy: a.Policy, MP4: []string{}}
	var t Thumbnails
	if a.Status != Ready || a.Result == nil {
		return p, t
	}
	if !expires.IsZero() {
		p.Expires = &expires
	}
	files := a.Result.Files
	file := func(name string) string {
		if name == "" {
			return ""
		}
		return s.address("play", a, expires, name)
	}
	p.HLS, p.DASH = file(files.HLS), file(files.DASH)
	p.Embed = s.address("embed", a, expires, "")
	t.Poster, t.Storyboard = file(files.Poster), file(files.Storyboard)
	for _, r := range a.Result.Renditions {
		if r.MP4 != "" {
			p.MP4 = append(p.MP4, file(r.MP4))
		}
	}
	return p, t
}

// address is one address for viewers. A signed one has its token before the
// asset, so that what a playlist names relatively is signed too.
func (s *Service) address(root string, a *asset, expires time.Time, file string) string {
	parts := []string{strings.TrimSuffix(s.Viewer.URL, "/"), root}
	if !expires.IsZero() {
		parts = append(parts, "~"+s.Signer.Sign(a.ID, expires))
	}
	parts = append(parts, a.ID)
	if file != "" {
		parts = append(parts, (&url.URL{Path: file}).EscapedPath())
	}
	return strings.Join(parts, "/")
}

// subtitleStates lists the languages of an asset: those in its result, and those
// that are being added.
func subtitleStates(a *asset) []SubtitleState {
	var states []SubtitleState
	there := map[string]bool{}
	if a.Result != nil {
		for _, track := range a.Result.Subtitles {
			states = append(states, SubtitleState{track.Language, track.Name, "ready"})
			there[track.Language] = true
		}
	}
	for _, added := range a.Subtitles {
		if !there[added.Language] {
			states = append(states, SubtitleState{added.Language, added.Name, "processing"})
		}
	}
	return states
}
