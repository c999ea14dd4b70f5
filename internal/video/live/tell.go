package live

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/av/scte35"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/window"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/web"
)

// NewCaption is a text that is shown to viewers who want captions in its language.
type NewCaption struct {
	Language string     `json:"language" minLength:"2" maxLength:"35" doc:"RFC 5646."`
	Text     string     `json:"text" maxLength:"2000" doc:"Plain text, of one or more lines. An empty one announces the language: players that come after that offer it."`
	Start    *time.Time `json:"start,omitempty" doc:"When it is shown; now unless said. Not before the segment that is open: what viewers have got does not change."`
	Duration float64    `json:"duration,omitempty" minimum:"0.1" maximum:"60" doc:"Seconds; 5 unless said."`
}

type captionInput struct {
	StreamPath
	Body NewCaption
}

// NewMarker tells players of a time of the stream: EXT-X-DATERANGE in HLS, an event in
// DASH.
type NewMarker struct {
	ID         string            `json:"id,omitempty" maxLength:"200" doc:"Of its own within the window; one is made unless said."`
	Class      string            `json:"class,omitempty" maxLength:"200" doc:"Which kind of marker it is."`
	Start      *time.Time        `json:"start,omitempty" doc:"Now unless said."`
	Duration   float64           `json:"duration,omitempty" minimum:"0" maximum:"86400" doc:"Seconds; of a break how long it is planned to be."`
	Attributes map[string]string `json:"attributes,omitempty" maxProperties:"20" doc:"Texts for those who know them. Names have capitals, digits and dashes; X- is put before those that do not begin with it."`
	Break      string            `json:"break,omitempty" enum:"out,in" doc:"A break begins or ends: a splice_insert of SCTE 35 is made and told."`
	Event      uint32            `json:"event,omitempty" doc:"Event of the break, the same for its end; 1 unless said."`
	SCTE35     []byte            `json:"scte35,omitempty" maxLength:"5468" doc:"A splice_info_section of SCTE 35 in Base64, told as it is."`
}

// StreamMarker is what became of one.
type StreamMarker struct {
	ID string `json:"id"`
}

type markerInput struct {
	StreamPath
	Body NewMarker
}

type markerOutput struct{ Body StreamMarker }

func (s *Service) tellRoutes(api *web.API, op func(id, method, path, summary, scope string) web.Op) {
	caption := op("create-caption", http.MethodPost, "/v1/streams/{id}/captions", "Show a caption to the viewers of a stream that is on air", guard.AssetsWrite)
	caption.Description = "It becomes WebVTT in the segments of the playlist of its language, which are whole when those of the pictures are."
	web.Add(api, caption, s.apiCaption)
	marker := op("create-marker", http.MethodPost, "/v1/streams/{id}/markers", "Tell players of a time of a stream that is on air, or of a break in it", guard.AssetsWrite)
	marker.Status = http.StatusCreated
	marker.Description = "It stays as long as its time is in the window, which holds 256 of them."
	web.Add(api, marker, s.apiMarker)
}

// onAir returns the window of a stream that is on air here, as openWindow does.
func (s *Service) onAir(ctx context.Context, id string) (g *window.Group, done func(), err error) {
	r, err := s.find(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if s.current(r.ID) == nil {
		return nil, nil, fault.New(fault.Unavailable, "the stream is not on air on this node: say it while an encoder sends")
	}
	return s.openWindow(r.ID)
}

func (s *Service) apiCaption(ctx context.Context, in *captionInput) (*struct{}, error) {
	group, done, err := s.onAir(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	defer done()
	c := window.Caption{Language: in.Body.Language, Text: in.Body.Text, Duration: seconds(in.Body.Duration)}
	if in.Body.Start != nil {
		c.At = *in.Body.Start
	}
	return nil, group.Caption(c)
}

func (s *Service) apiMarker(ctx context.Context, in *markerInput) (*markerOutput, error) {
	group, done, err := s.onAir(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	defer done()
	m := &in.Body
	var at time.Time
	if m.Start != nil {
		at = *m.Start
	}
	out := &markerOutput{}
	switch {
	case len(m.SCTE35) > 0 || m.Break != "":
		if m.ID != "" || m.Class != "" || len(m.Attributes) > 0 || len(m.SCTE35) > 0 && m.Break != "" {
			return nil, fault.New(fault.Invalid, "a break has neither id, class nor attributes, and either break or scte35")
		}
		out.Body.ID, err = group.SpliceAt(m.section(), at)
	default:
		out.Body.ID, err = group.Mark(window.Marker{ID: m.ID, Class: m.Class, At: at, Duration: seconds(m.Duration), Attributes: m.attributes()})
	}
	return out, err
}

// section is the one that was sent, or one that says the same as Break.
func (m *NewMarker) section() []byte {
	if len(m.SCTE35) > 0 {
		return m.SCTE35
	}
	info := scte35.Info{Kind: scte35.In, Event: max(m.Event, 1)}
	if m.Break == "out" {
		info.Kind, info.Duration = scte35.Out, seconds(m.Duration)
	}
	return scte35.Insert(info)
}

// attributes are in the order of their names, so that playlists are always the same.
func (m *NewMarker) attributes() (all []hls.DateAttribute) {
	for name, value := range m.Attributes {
		name = strings.ToUpper(name)
		if !strings.HasPrefix(name, "X-") {
			name = "X-" + name
		}
		all = append(all, hls.DateAttribute{Name: name, Value: hls.Printable(value)})
	}
	slices.SortFunc(all, func(a, b hls.DateAttribute) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
