package vod

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// AssetPath is the input of what concerns one asset.
type AssetPath struct {
	ID string `path:"id" maxLength:"64" doc:"Asset, ast_…"`
}

type assetOutput struct {
	ETag string `header:"ETag"`
	Body *Asset
}

// OptionsInput are the options that a request may leave out.
type OptionsInput struct {
	Codecs       []string `json:"codecs,omitempty" maxItems:"3" nullable:"false" doc:"h264, and any of hevc and av1. H.264 is always made."`
	Ladder       string   `json:"ladder,omitempty" maxLength:"100" doc:"auto, or heights such as 1080,720,480."`
	Preset       string   `json:"preset,omitempty" maxLength:"20" doc:"Speed of the encoder, from ultrafast to veryslow."`
	Segment      string   `json:"segment,omitempty" maxLength:"20" doc:"How long segments may be, within 2..6s."`
	Loudness     string   `json:"loudness,omitempty" maxLength:"5" doc:"off, -16 or -23 LUFS."`
	Saliency     string   `json:"saliency,omitempty" maxLength:"10" doc:"off, auto or strong: how far bits follow where people look."`
	Optimize     string   `json:"optimize,omitempty" enum:"off,quick,thorough" doc:"Search the quality of every shot, so that the largest rung has the fewest bits for its mean quality: quick takes about 1.6 times the CPU time of that rung, thorough 2.5 times, a little more where pictures are small."`
	Target       float64  `json:"target,omitempty" minimum:"40" maximum:"99" doc:"With optimize: the mean quality of the largest rung, as VMAF has it."`
	Bits         int64    `json:"bits,omitempty" minimum:"50000" maximum:"200000000" doc:"With optimize, instead of target: bits a second of the largest rung on average."`
	MP4          bool     `json:"mp4,omitempty" doc:"An MP4 a rendition besides."`
	KeepOriginal bool     `json:"keep_original,omitempty" doc:"Viewers may download the source."`
	Hardware     bool     `json:"hardware,omitempty" doc:"Have hardware encoders of a worker make H.264 and HEVC of eight bits: faster, and with more bits for the same picture. Refused while no worker has one that it may use."`
	Prefer       string   `json:"prefer,omitempty" maxLength:"10" doc:"Which workers make it: time (whichever is free), cost or carbon."`
}

// options fills in what was left out.
func (in *OptionsInput) options() encode.Options {
	o := encode.DefaultOptions()
	if in == nil {
		return o
	}
	if len(in.Codecs) > 0 {
		o.Codecs = in.Codecs
	}
	for _, choice := range []struct {
		from string
		to   *string
	}{{in.Ladder, &o.Ladder}, {in.Preset, &o.Preset}, {in.Segment, &o.Segment}, {in.Loudness, &o.Loudness}, {in.Saliency, &o.Saliency}, {in.Prefer, &o.Prefer}} {
		if choice.from != "" {
			*choice.to = choice.from
		}
	}
	o.MP4, o.KeepOriginal, o.Hardware = in.MP4, in.KeepOriginal, in.Hardware
	o.Optimize, o.Target, o.Bits = in.Optimize, in.Target, in.Bits
	return o
}

// Routes adds the operations of assets to the API.
func (s *Service) Routes(api *web.API) {
	op := func(id, method, path, summary, scope string) web.Op {
		return web.Op{ID: id, Method: method, Path: path, Tag: "Assets", Summary: summary, Scope: scope}
	}
	read, write := guard.AssetsRead, guard.AssetsWrite
	web.Add(api, op("list-assets", http.MethodGet, "/v1/assets", "List assets, newest first", read), s.apiList)
	web.Add(api, op("get-asset", http.MethodGet, "/v1/assets/{id}", "Get an asset", read), s.apiGet)
	web.Add(api, op("update-asset", http.MethodPatch, "/v1/assets/{id}", "Rename an asset, or change who may play it", write), s.apiUpdate)
	web.Add(api, op("delete-asset", http.MethodDelete, "/v1/assets/{id}", "Delete an asset, also while it is processed", write), s.apiDelete)

	create := op("create-asset", http.MethodPost, "/v1/assets", "Create an asset", write)
	create.Status = http.StatusCreated
	create.Description = "With an address in url its source is fetched from there; without, upload it to /v1/uploads or put it to /v1/assets/{id}/source."
	web.Add(api, create, s.apiCreate)

	retry := op("retry-asset", http.MethodPost, "/v1/assets/{id}/retry", "Try a failed asset again", write)
	retry.Status = http.StatusAccepted
	web.Add(api, retry, s.apiRetry)

	spent := op("get-encoding", http.MethodGet, "/v1/assets/{id}/encoding", "Get what each shot of an asset was given", read)
	spent.Description = "Lists of bytes are as long as that of shots. They are empty for assets that were recorded, or encoded by an earlier version."
	web.Add(api, spent, s.apiEncoding)

	compare := op("compare-asset", http.MethodPost, "/v1/assets/{id}/comparison", "Compare an asset with its source", write)
	compare.Status = http.StatusAccepted
	compare.Description = "A worker measures each rendition against the source, and makes a page of it. What it came to is in comparison of the asset; while one is being made it is answered as it is."
	web.Add(api, compare, s.apiCompare)

	compared := op("get-comparison", http.MethodGet, "/v1/assets/{id}/comparison", "Get how near an asset comes to its source", read)
	web.Add(api, compared, s.apiComparison)

	dropped := op("delete-comparison", http.MethodDelete, "/v1/assets/{id}/comparison", "Stop the comparison of an asset, or remove what it came to", write)
	dropped.Status = http.StatusOK
	web.Add(api, dropped, s.apiDropComparison)

	link := op("sign-playback", http.MethodPost, "/v1/assets/{id}/playback", "Make addresses that play for a time", read)
	web.Add(api, link, s.apiSign)

	put := op("put-subtitles", http.MethodPut, "/v1/assets/{id}/subtitles/{language}", "Add or replace subtitles of one language", write)
	put.Status = http.StatusAccepted
	put.Description = "The body is a SubRip or WebVTT file of at most 8 MiB."
	api.Raw(put, web.Media{
		Request: "text/*", Response: "application/json", Gives: reflect.TypeFor[Asset](), Headers: []web.Param{{Name: "ETag"}},
		Params: []web.Param{{In: "query", Name: "name", Description: "What viewers read in the menu; the language's own name when it is left out."}},
	}, http.HandlerFunc(s.putSubtitles))

	drop := op("delete-subtitles", http.MethodDelete, "/v1/assets/{id}/subtitles/{language}", "Delete added subtitles of one language", write)
	drop.Status = http.StatusAccepted
	web.Add(api, drop, s.apiDropSubtitles)
}

type listInput struct {
	web.PageQuery
	Status string `query:"status" enum:"created,uploading,queued,processing,recording,ready,failed" doc:"Only assets in this state."`
	Text   string `query:"q" maxLength:"200" doc:"Only assets whose name contains this."`
}

type listOutput struct {
	Body web.Page[*Asset]
}

func (s *Service) apiList(ctx context.Context, in *listInput) (*listOutput, error) {
	who, _ := guard.From(ctx)
	out := &listOutput{web.Page[*Asset]{Data: []*Asset{}}}
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		list, err := listAssets(tx, who.Tenant, assetFilter{status: Status(in.Status), text: in.Text, after: in.After, limit: in.Limit + 1})
		if err != nil {
			return err
		}
		if len(list) > in.Limit {
			list = list[:in.Limit]
			out.Body.Next = list[in.Limit-1].ID
		}
		for _, a := range list {
			document, err := s.document(tx, a)
			if err != nil {
				return err
			}
			out.Body.Data = append(out.Body.Data, document)
		}
		return nil
	})
	return out, err
}

func (s *Service) apiGet(ctx context.Context, in *AssetPath) (*assetOutput, error) {
	who, _ := guard.From(ctx)
	var out *assetOutput
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, who.Tenant, in.ID)
		if err != nil {
			return err
		}
		out, err = s.output(tx, a)
		return err
	})
	return out, err
}

func (s *Service) output(tx *store.Tx, a *asset) (*assetOutput, error) {
	document, err := s.document(tx, a)
	return &assetOutput{web.ETag(a.Rev), document}, err
}

// answer is the output for an asset that was just written.
func (s *Service) answer(ctx context.Context, a *asset, err error) (*assetOutput, error) {
	if err != nil {
		return nil, err
	}
	var out *assetOutput
	err = s.DB.Read(ctx, func(tx *store.Tx) (err error) {
		out, err = s.output(tx, a)
		return err
	})
	return out, err
}

// NewAsset is what is asked for an asset.
type NewAsset struct {
	Name    string        `json:"name,omitempty" maxLength:"500" doc:"For people; without one the file's name."`
	URL     string        `json:"url,omitempty" maxLength:"4096" doc:"Where its source is fetched from, http or https."`
	Policy  Policy        `json:"playback_policy,omitempty" enum:"public,signed" doc:"Who may play it; public unless said."`
	Options *OptionsInput `json:"options,omitempty"`
}

type createAssetInput struct{ Body NewAsset }

func (s *Service) apiCreate(ctx context.Context, in *createAssetInput) (*assetOutput, error) {
	who, _ := guard.From(ctx)
	a, err := s.newAsset(who.Tenant, in.Body.Name, in.Body.Policy, in.Body.Options)
	if err != nil {
		return nil, err
	}
	if a.Address = in.Body.URL; a.Address != "" {
		if err := CheckImportURL(a.Address); err != nil {
			return nil, err
		}
	}
	if a.Name == "" {
		a.Name = unnamed
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error { return s.create(tx, a) })
	return s.answer(ctx, a, err)
}

// newAsset checks what a user says of an asset that is to be.
func (s *Service) newAsset(tenant, name string, policy Policy, in *OptionsInput) (*asset, error) {
	name, err := cleanName(name)
	if err != nil {
		return nil, err
	}
	if policy == "" {
		policy = Public
	}
	if policy != Public && policy != Signed {
		return nil, fault.New(fault.Invalid, "playback_policy is %q; choose public or signed", policy)
	}
	options := in.options()
	if options.Prefer == "" {
		options.Prefer = s.Prefer
	}
	if err := s.CheckOptions(options); err != nil {
		return nil, err
	}
	return &asset{Tenant: tenant, Name: name, Policy: policy, Options: options}, nil
}

// cleanName is a name as people see it: one line, no control characters.
func cleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fault.New(fault.Invalid, "the name is not UTF-8")
	}
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 }), " ")
	if utf8.RuneCountInString(name) > 500 {
		return "", fault.New(fault.Invalid, "the name is longer than 500 characters")
	}
	return strings.TrimSpace(name), nil
}

// AssetChange is what of an asset is to be another; what is left out stays.
type AssetChange struct {
	Name   *string `json:"name,omitempty" minLength:"1" maxLength:"500"`
	Policy *Policy `json:"playback_policy,omitempty" enum:"public,signed"`
}

type updateAssetInput struct {
	AssetPath
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
	Body    AssetChange
}

func (s *Service) apiUpdate(ctx context.Context, in *updateAssetInput) (*assetOutput, error) {
	who, _ := guard.From(ctx)
	a, err := s.change(ctx, who.Tenant, in.ID, event.AssetUpdated, func(_ *store.Tx, a *asset) error {
		if err := web.CheckMatch(in.IfMatch, a.Rev); err != nil {
			return err
		}
		if in.Body.Name != nil {
			name, err := cleanName(*in.Body.Name)
			if err != nil {
				return err
			}
			if name == "" {
				return fault.New(fault.Invalid, "the name is empty")
			}
			a.Name = name
		}
		if in.Body.Policy != nil {
			a.Policy = *in.Body.Policy
		}
		return nil
	})
	return s.answer(ctx, a, err)
}

type deleteInput struct {
	AssetPath
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
}

func (s *Service) apiDelete(ctx context.Context, in *deleteInput) (*struct{}, error) {
	who, _ := guard.From(ctx)
	return nil, s.remove(ctx, who.Tenant, in.ID, func(rev int64) error { return web.CheckMatch(in.IfMatch, rev) })
}

func (s *Service) apiRetry(ctx context.Context, in *AssetPath) (*assetOutput, error) {
	who, _ := guard.From(ctx)
	a, err := s.retry(ctx, who.Tenant, in.ID)
	return s.answer(ctx, a, err)
}

// PlaybackTime says for how long addresses shall play.
type PlaybackTime struct {
	For int64 `json:"expires_in,omitempty" minimum:"60" maximum:"2592000" doc:"Seconds; six hours unless said or configured."`
}

type signPlaybackInput struct {
	AssetPath
	Body PlaybackTime
}

// SignedPlayback is the addresses of one asset that play until they expire.
type SignedPlayback struct {
	HLS        string    `json:"hls"`
	DASH       string    `json:"dash"`
	MP4        []string  `json:"mp4" nullable:"false"`
	Embed      string    `json:"embed"`
	Poster     string    `json:"poster"`
	Storyboard string    `json:"storyboard"`
	Expires    time.Time `json:"expires"`
}

type signOutput struct{ Body SignedPlayback }

func (s *Service) apiSign(ctx context.Context, in *signPlaybackInput) (*signOutput, error) {
	who, _ := guard.From(ctx)
	holds := s.Viewer.SignedFor
	if in.Body.For > 0 {
		holds = time.Duration(in.Body.For) * time.Second
	}
	var out *signOutput
	err := s.DB.Read(ctx, func(tx *store.Tx) error {
		a, err := findAsset(tx, who.Tenant, in.ID)
		if err != nil {
			return err
		}
		if a.Status != Ready {
			return fault.New(fault.Conflict, "the asset is %s; it can be played when it is ready", a.Status)
		}
		expires := time.Now().Add(holds).Truncate(time.Second).UTC()
		p, t := s.addresses(a, expires)
		out = &signOutput{SignedPlayback{p.HLS, p.DASH, p.MP4, p.Embed, t.Poster, t.Storyboard, expires}}
		return nil
	})
	return out, err
}

// Show answers a request for one asset of the path's id.
func (s *Service) Show(w http.ResponseWriter, r *http.Request) {
	out, err := s.apiGet(r.Context(), &AssetPath{ID: r.PathValue("id")})
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	s.write(w, http.StatusOK, out)
}

// write answers a raw request with an asset.
func (s *Service) write(w http.ResponseWriter, status int, out *assetOutput) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", out.ETag)
	w.WriteHeader(status)
	io.WriteString(w, encoded(out.Body))
}

func (s *Service) putSubtitles(w http.ResponseWriter, r *http.Request) {
	who, _ := guard.From(r.Context())
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestSubtitle))
	if err != nil {
		web.Problem(w, r, web.WithStatus(http.StatusRequestEntityTooLarge, fault.Wrap(err, fault.Invalid, "the file has more than 8 MiB, or its upload broke off")))
		return
	}
	name, err := cleanName(r.URL.Query().Get("name"))
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	a, err := s.addSubtitle(r.Context(), who.Tenant, r.PathValue("id"), r.PathValue("language"), name, text)
	out, err := s.answer(r.Context(), a, err)
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	s.write(w, http.StatusAccepted, out)
}

type languageInput struct {
	AssetPath
	Language string `path:"language" maxLength:"35"`
}

func (s *Service) apiDropSubtitles(ctx context.Context, in *languageInput) (*assetOutput, error) {
	who, _ := guard.From(ctx)
	a, err := s.removeSubtitle(ctx, who.Tenant, in.ID, in.Language)
	return s.answer(ctx, a, err)
}
