package live

import (
	"cmp"
	"strings"
	"time"
)

// document is the stream as the API and events show it. The key is never in it.
func (s *Service) document(r *stream) *Stream {
	d := &Stream{
		ID: r.ID, Name: r.Name, Status: r.Status, Stopped: r.Stopped, Ingest: s.ingest(),
		Record: r.Record, Ladder: append([]string{}, r.Ladder...), Recording: s.recordingOf(r.ID), Source: s.shown(r), Health: s.health(r.ID), Viewers: s.crowd.count(r.ID), CreatedAt: r.Created, UpdatedAt: r.Updated, Rev: r.Rev,
	}
	if !r.LiveSince.IsZero() {
		d.LiveSince = &r.LiveSince
	}
	var expires time.Time
	if r.Policy == Signed {
		expires = time.Now().Add(s.SignedFor).Truncate(time.Second).UTC()
	}
	d.Playback = s.playback(r, expires)
	return d
}

// ingest is where encoders send, without a key.
func (s *Service) ingest() Ingest {
	i := Ingest{RTMP: RTMP{URL: s.rtmpURL()}, RTMPS: RTMPS{URL: s.ingestURL("rtmps", s.Config.RTMPSURL)}, SRT: SRT{URL: s.srtURL()}, RTSP: RTSP{URL: s.ingestURL("rtsp", s.Config.RTSPURL)}}
	if s.hasWebRTC() {
		i.WHIP.URL = cmp.Or(s.Config.WHIPURL, whipPath)
	}
	return i
}

// show puts a key that was just made into what encoders are told.
func (i *Ingest) show(key string) {
	if key == "" {
		return
	}
	i.RTMP.Key = key
	if i.SRT.URL != "" {
		i.SRT.URL += "?streamid=publish:" + key
	}
	if i.RTSP.URL != "" {
		i.RTSP.URL += "/" + key
	}
}

// playback is where a stream plays, until expires or for ever.
func (s *Service) playback(r *stream, expires time.Time) StreamPlayback {
	p := StreamPlayback{Policy: r.Policy, HLS: s.address("play", r.ID, expires, masterName), DASH: s.address("play", r.ID, expires, manifestName), Embed: s.address("embed", r.ID, expires, "")}
	if s.hasWebRTC() {
		p.WHEP = s.address("play", r.ID, expires, whepName)
	}
	if !expires.IsZero() {
		p.Expires = &expires
	}
	return p
}

// address is one address for viewers. A signed one has its token before the
// stream, so that what a playlist names relatively is signed too.
func (s *Service) address(root, id string, expires time.Time, file string) string {
	parts := []string{strings.TrimSuffix(s.ViewerURL, "/"), root}
	if !expires.IsZero() {
		parts = append(parts, "~"+s.Signer.Sign(id, expires))
	}
	parts = append(parts, id)
	if file != "" {
		parts = append(parts, file)
	}
	return strings.Join(parts, "/")
}
