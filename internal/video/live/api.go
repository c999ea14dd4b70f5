package live

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// StreamPath is the input of what concerns one stream.
type StreamPath struct {
	ID string `path:"id" maxLength:"64" doc:"Stream, str_…"`
}

type streamOutput struct {
	ETag string `header:"ETag"`
	Body *Stream
}

// Routes adds the operations of streams to the API.
func (s *Service) Routes(api *web.API) {
	op := func(id, method, path, summary, scope string) web.Op {
		return web.Op{ID: id, Method: method, Path: path, Tag: "Streams", Summary: summary, Scope: scope}
	}
	read, write := guard.AssetsRead, guard.AssetsWrite
	web.Add(api, op("list-streams", http.MethodGet, "/v1/streams", "List streams, newest first", read), s.apiList)
	web.Add(api, op("get-stream", http.MethodGet, "/v1/streams/{id}", "Get a stream: its state and how it goes", read), s.apiGet)
	web.Add(api, op("update-stream", http.MethodPatch, "/v1/streams/{id}", "Rename a stream, change who may play it, what is fetched for it or made of it, or record it", write), s.apiUpdate)
	web.Add(api, op("delete-stream", http.MethodDelete, "/v1/streams/{id}", "Delete a stream, also while it is on air", write), s.apiDelete)

	create := op("create-stream", http.MethodPost, "/v1/streams", "Create a stream", write)
	create.Status = http.StatusCreated
	create.Description = "The answer has the key that encoders send with, this once."
	web.Add(api, create, s.apiCreate)

	rotate := op("rotate-stream-key", http.MethodPost, "/v1/streams/{id}/keys", "Give a stream another key", write)
	rotate.Description = "The answer has the new key, this once. Who is on air stays there; the key before lets encoders in for as long as grace says."
	web.Add(api, rotate, s.apiRotate)

	s.clipRoutes(api, op)
	s.tellRoutes(api, op)
	s.statisticsRoutes(api, op)
	s.stopRoutes(api, op)
	s.whipRoutes(api)
	web.Add(api, op("sign-stream-playback", http.MethodPost, "/v1/streams/{id}/playback", "Make addresses that play for a time", read), s.apiSign)
}

type listInput struct {
	web.PageQuery
	Status string `query:"status" enum:"idle,connecting,live,reconnecting" doc:"Only streams in this state."`
}

type listOutput struct{ Body web.Page[*Stream] }

func (s *Service) apiList(ctx context.Context, in *listInput) (*listOutput, error) {
	who, _ := guard.From(ctx)
	out := &listOutput{web.Page[*Stream]{Data: []*Stream{}}}
	var list []*stream
	err := s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = listStreams(tx, who.Tenant, streamFilter{status: Status(in.Status), after: in.After, limit: in.Limit + 1})
		return err
	})
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.Body.Next = list[in.Limit-1].ID
	}
	for _, r := range list {
		out.Body.Data = append(out.Body.Data, s.document(r))
	}
	return out, err
}

func (s *Service) find(ctx context.Context, id string) (r *stream, err error) {
	who, _ := guard.From(ctx)
	err = s.DB.Read(ctx, func(tx *store.Tx) error {
		r, err = findStream(tx, who.Tenant, id)
		return err
	})
	return r, err
}

// answer is the output for a stream, with its key where that was just made.
func (s *Service) answer(r *stream, key string, err error) (*streamOutput, error) {
	if err != nil {
		return nil, err
	}
	d := s.document(r)
	d.Ingest.show(key)
	return &streamOutput{web.ETag(r.Rev), d}, nil
}

func (s *Service) apiGet(ctx context.Context, in *StreamPath) (*streamOutput, error) {
	r, err := s.find(ctx, in.ID)
	return s.answer(r, "", err)
}

// NewStream is what is asked for a stream.
type NewStream struct {
	Name   string          `json:"name,omitempty" maxLength:"500" doc:"For people."`
	Policy Policy          `json:"playback_policy,omitempty" enum:"public,signed" doc:"Who may play it; public unless said."`
	Source NewStreamSource `json:"source,omitzero" doc:"Fetch it instead of waiting for an encoder; at once."`
	Record bool            `json:"record,omitempty" doc:"Record it whenever it is on air, each time into an asset that who may play it may play."`
	Ladder *[]string       `json:"ladder,omitempty" maxItems:"4" doc:"Renditions of its pictures to be made while it is on air: auto alone, or some of 1080p, 720p, 480p and 360p; none passes it on only. Left out, it is what the configuration says."`
}

type createStreamInput struct{ Body NewStream }

// unnamed is the name of a stream that nobody named.
const unnamed = "untitled"

func (s *Service) apiCreate(ctx context.Context, in *createStreamInput) (*streamOutput, error) {
	who, _ := guard.From(ctx)
	name, err := cleanName(in.Body.Name)
	if err != nil {
		return nil, err
	}
	r := &stream{Tenant: who.Tenant, Name: name, Policy: in.Body.Policy, Record: in.Body.Record}
	if r.Name == "" {
		r.Name = unnamed
	}
	if r.Policy == "" {
		r.Policy = Public
	}
	if r.Ladder = s.Config.Ladder; in.Body.Ladder != nil {
		r.Ladder = *in.Body.Ladder
	}
	if err := checkLadder(r.Ladder); err != nil {
		return nil, err
	}
	if r.Source, err = s.newSource(ctx, who.Tenant, in.Body.Source); err != nil {
		return nil, err
	}
	key, err := s.create(ctx, r)
	if err == nil {
		s.reconcile()
	}
	return s.answer(r, key, err)
}

// cleanName is a name as people see it: one line, no control characters.
func cleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fault.New(fault.Invalid, "the name is not UTF-8")
	}
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 }), " ")
	return strings.TrimSpace(name), nil
}

// StreamChange is what of a stream is to be another; what is left out stays.
type StreamChange struct {
	Name   *string          `json:"name,omitempty" minLength:"1" maxLength:"500"`
	Policy *Policy          `json:"playback_policy,omitempty" enum:"public,signed"`
	Source *NewStreamSource `json:"source,omitempty" doc:"Fetch another source, which begins at once unless the stream is stopped; {} has encoders push again."`
	Record *bool            `json:"record,omitempty" doc:"Begin or stop to record it, also while it is on air."`
	Ladder *[]string        `json:"ladder,omitempty" maxItems:"4" doc:"Make other renditions, also while it is on air."`
}

type updateStreamInput struct {
	StreamPath
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
	Body    StreamChange
}

func (s *Service) apiUpdate(ctx context.Context, in *updateStreamInput) (*streamOutput, error) {
	who, _ := guard.From(ctx)
	var from source
	if in.Body.Source != nil {
		var err error
		if from, err = s.newSource(ctx, who.Tenant, *in.Body.Source); err != nil {
			return nil, err
		}
	}
	r, err := s.change(ctx, who.Tenant, in.ID, event.StreamUpdated, func(r *stream) error {
		if err := web.CheckMatch(in.IfMatch, r.Rev); err != nil {
			return err
		}
		if in.Body.Source != nil {
			r.Source = from
		}
		if in.Body.Name != nil {
			name, err := cleanName(*in.Body.Name)
			if err != nil {
				return err
			}
			if name == "" {
				return fault.New(fault.Invalid, "the name is empty")
			}
			r.Name = name
		}
		if in.Body.Policy != nil {
			r.Policy = *in.Body.Policy
		}
		if in.Body.Record != nil {
			r.Record = *in.Body.Record
		}
		if in.Body.Ladder != nil {
			r.Ladder = *in.Body.Ladder
			return checkLadder(r.Ladder)
		}
		return nil
	})
	if err == nil {
		s.wantRecording(r)
		s.wantLadder(r)
		s.reconcile()
	}
	return s.answer(r, "", err)
}

type deleteInput struct {
	StreamPath
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
}

func (s *Service) apiDelete(ctx context.Context, in *deleteInput) (*struct{}, error) {
	who, _ := guard.From(ctx)
	return nil, s.remove(ctx, who.Tenant, in.ID, func(rev int64) error { return web.CheckMatch(in.IfMatch, rev) })
}

type rotateInput struct {
	StreamPath
	Grace   int64  `query:"grace" minimum:"0" maximum:"604800" doc:"Seconds for which the key before lets encoders in."`
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
}

func (s *Service) apiRotate(ctx context.Context, in *rotateInput) (*streamOutput, error) {
	who, _ := guard.From(ctx)
	grace := min(time.Duration(in.Grace)*time.Second, longestGrace)
	r, key, err := s.rotate(ctx, who.Tenant, in.ID, grace, func(rev int64) error { return web.CheckMatch(in.IfMatch, rev) })
	return s.answer(r, key, err)
}

// StreamPlaybackTime says for how long addresses shall play.
type StreamPlaybackTime struct {
	For int64 `json:"expires_in,omitempty" minimum:"60" maximum:"2592000" doc:"Seconds; six hours unless said or configured."`
}

type signInput struct {
	StreamPath
	Body StreamPlaybackTime
}

// SignedStreamPlayback is the addresses of one stream that play until they expire.
type SignedStreamPlayback struct {
	HLS     string    `json:"hls"`
	DASH    string    `json:"dash"`
	WHEP    string    `json:"whep"`
	Embed   string    `json:"embed"`
	Expires time.Time `json:"expires"`
}

type signOutput struct{ Body SignedStreamPlayback }

func (s *Service) apiSign(ctx context.Context, in *signInput) (*signOutput, error) {
	r, err := s.find(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	holds := s.SignedFor
	if in.Body.For > 0 {
		holds = time.Duration(in.Body.For) * time.Second
	}
	expires := time.Now().Add(holds).Truncate(time.Second).UTC()
	p := s.playback(r, expires)
	return &signOutput{SignedStreamPlayback{p.HLS, p.DASH, p.WHEP, p.Embed, expires}}, nil
}
