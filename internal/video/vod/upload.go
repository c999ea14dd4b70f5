package vod

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"time"

	tusd "github.com/tus/tusd/v2/pkg/handler"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/web"
)

// UploadRequest is what a client says about a file before it sends it.
type UploadRequest struct {
	Asset          string          // of an asset that waits for its source; "" makes one
	Name           string          // the file's name; may be empty
	Size           int64           // bytes
	Options        json.RawMessage // of the encoding; nil for the defaults
	PlaybackPolicy string          // "" for the default
	Unfinished     int             // how many uploads of a tenant may be under way
}

// uploadAssets is what uploads need of the assets. Errors are faults; an asset that
// is not there, or is being deleted, is not_found.
type uploadAssets interface {
	// BeginUpload makes the asset that the request asks for, or finds the one that it
	// names, and notes that its source is coming. It is a conflict when that one has a
	// source, or another upload is under way, and limit when the tenant has as many
	// unfinished ones as it may. An asset whose upload failed may begin again.
	BeginUpload(ctx context.Context, tenant string, r UploadRequest) (asset string, err error)
	// OwnerOf says whose an asset is.
	OwnerOf(ctx context.Context, asset string) (tenant string, err error)
	// Uploading says how much has been received. It is called once a second at most.
	Uploading(ctx context.Context, asset string, received, size int64) error
	// Uploaded says that the source is whole and durable. It may be called again, and
	// then does nothing.
	Uploaded(ctx context.Context, asset, object string, size int64) error
	// UploadFailed says that no source will come, and why. It may be called again, and
	// does nothing for an asset that has its source.
	UploadFailed(ctx context.Context, asset string, cause error) error
	// Resting returns the assets whose source is coming, and of which nothing has come
	// since that time.
	Resting(ctx context.Context, since time.Time) ([]string, error)
}

// UploadDeps are what uploads stand on. All fields must be set.
type UploadDeps struct {
	Assets uploadAssets
	Blob   blob.Backend
	Config UploadConfig
	// Show answers a request with an asset.
	Show http.HandlerFunc
	Log  *slog.Logger
}

// uploadPath is where uploads are.
const uploadPath = "/v1/uploads/"

// Uploads takes in sources: resumable by tus 1.0, or small ones in one request.
//
// What is said to be received is on the disk: it survives a kill and a power cut. An
// upload is written by one connection at a time; a second one, also one that only
// asks how far it has come, cuts the first off, as tus wants: a client comes back
// because its connection is dead. Between nodes, the offset in the store keeps a
// second writer out.
type Uploads struct {
	UploadDeps
	tus   *tusd.UnroutedHandler
	locks uploadLocks
}

// NewUploads returns the handlers of uploads. Run does the cleaning up.
func NewUploads(d UploadDeps) (*Uploads, error) {
	u := &Uploads{UploadDeps: d}
	composer := tusd.NewStoreComposer()
	composer.UseCore(uploadStore{u})
	composer.UseTerminater(uploadStore{u})
	composer.UseLocker(&u.locks)
	tus, err := tusd.NewUnroutedHandler(tusd.Config{
		StoreComposer:                    composer,
		BasePath:                         uploadPath,
		MaxSize:                          int64(d.Config.MaxSize),
		DisableDownload:                  true,
		Cors:                             &tusd.CorsConfig{Disable: true},
		Logger:                           tusLogger(d.Log),
		GracefulRequestCompletionTimeout: time.Second,
	})
	if err != nil {
		return nil, err
	}
	u.tus = tus
	return u, nil
}

// Routes adds the operations to the API.
func (u *Uploads) Routes(api *web.API) {
	const body = "application/offset+octet-stream"
	op := func(id, method, path, summary string, status int) web.Op {
		return web.Op{ID: id, Method: method, Path: path, Tag: "Uploads", Summary: summary, Scope: guard.AssetsWrite, Status: status}
	}
	create := op("create-upload", http.MethodPost, "/v1/uploads", "Begin a resumable upload", http.StatusCreated)
	create.Description = "tus 1.0 with creation, creation-with-upload, termination and expiration. " +
		"Upload-Metadata may hold filename, asset, options (JSON) and playback_policy."
	version := web.Param{In: "header", Name: "Tus-Resumable", Description: "1.0.0", Required: true}
	offset := web.Param{In: "header", Name: "Upload-Offset", Description: "Bytes that have arrived."}
	length := web.Param{In: "header", Name: "Upload-Length", Description: "Bytes of the whole file."}
	expires := web.Param{Name: "Upload-Expires", Description: "When an upload is given up that nobody goes on with."}
	api.Raw(create, web.Media{
		Request: body, Optional: true,
		Params: []web.Param{version, length, {In: "header", Name: "Upload-Metadata", Description: "Pairs of a name and a value in Base64."}},
		Headers: []web.Param{version, offset, expires, {Name: "Location", Description: "Of the upload."},
			{Name: "Liuyun-Asset", Description: "The asset that it becomes the source of."}},
	}, http.HandlerFunc(u.create))
	one := http.HandlerFunc(u.one)
	const path = uploadPath + "{id}"
	api.Raw(op("get-upload", http.MethodHead, path, "How much of an upload has arrived", http.StatusOK),
		web.Media{Params: []web.Param{version}, Headers: []web.Param{version, offset, length, expires}}, one)
	next := offset
	next.Required = true
	api.Raw(op("append-upload", http.MethodPatch, path, "Send more of an upload", http.StatusNoContent),
		web.Media{Request: body, Params: []web.Param{version, next}, Headers: []web.Param{version, offset, expires}}, one)
	api.Raw(op("delete-upload", http.MethodDelete, path, "Give up an upload", http.StatusNoContent),
		web.Media{Params: []web.Param{version}, Headers: []web.Param{version}}, one)
	source := op("put-source", http.MethodPut, "/v1/assets/{id}/source", "Upload a small source", http.StatusOK)
	source.Description = "At most 256 MiB, in one request with Content-Length; it is taken whole or not at all."
	api.Raw(source, web.Media{
		Request: "application/octet-stream", Response: "application/json", Gives: reflect.TypeFor[Asset](), Headers: []web.Param{{Name: "ETag"}},
	}, http.HandlerFunc(u.putSource))
}

// create begins an upload.
func (u *Uploads) create(w http.ResponseWriter, r *http.Request) {
	principal, ok := guard.From(r.Context())
	if !ok {
		web.Problem(w, r, fault.New(fault.Forbidden, "sign in with a key"))
		return
	}
	request, err := parseUploadMetadata(r.Header.Get("Upload-Metadata"))
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	request.Unfinished = u.Config.Unfinished
	r = r.WithContext(context.WithValue(r.Context(), uploadBegin{}, begin{principal.Tenant, request}))
	u.serve(w, r, u.tus.PostFile)
}

// one answers a request for an upload that is there.
func (u *Uploads) one(w http.ResponseWriter, r *http.Request) {
	asset := strings.TrimPrefix(r.URL.Path, uploadPath)
	if err := u.mayTouch(r.Context(), asset); err != nil {
		web.Problem(w, r, err)
		return
	}
	// tus takes the whole path for the id.
	r = r.Clone(r.Context())
	r.URL.Path = asset
	switch r.Method {
	case http.MethodHead:
		u.serve(w, r, u.tus.HeadFile)
	case http.MethodPatch:
		u.serve(w, r, u.tus.PatchFile)
	case http.MethodDelete:
		u.serve(w, r, u.tus.DelFile)
	default:
		web.Problem(w, r, fault.New(fault.Invalid, "an upload takes HEAD, PATCH and DELETE"))
	}
}

// serve passes a request to tus. The method stays what it was when the caller's
// scopes were checked.
func (u *Uploads) serve(w http.ResponseWriter, r *http.Request, handler http.HandlerFunc) {
	r.Header.Del("X-HTTP-Method-Override")
	w.Header().Set("Upload-Expires", time.Now().Add(u.Config.Expires).UTC().Format(http.TimeFormat))
	cut := &uploadCut{control: http.NewResponseController(w)}
	u.tus.Middleware(handler).ServeHTTP(&uploadAnswer{ResponseWriter: w, request: r}, r.WithContext(context.WithValue(r.Context(), uploadCutKey{}, cut)))
}

// mayTouch returns not_found unless the asset is one of the caller's tenant.
func (u *Uploads) mayTouch(ctx context.Context, asset string) error {
	absent := noUpload(asset)
	principal, ok := guard.From(ctx)
	if !ok {
		return fault.New(fault.Forbidden, "sign in with a key")
	}
	if !id.Valid("ast", asset) {
		return absent
	}
	tenant, err := u.Assets.OwnerOf(ctx, asset)
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		// The asset was deleted: what came of it goes too.
		return errors.Join(u.forget(ctx, asset), absent)
	case err != nil:
		return err
	case tenant != principal.Tenant:
		return absent
	}
	return nil
}

func noUpload(asset string) error {
	return fault.New(fault.NotFound, "there is no upload %.40q: it expired, was given up or was never begun", asset)
}

// maxPutSource is the largest source of a single request.
const maxPutSource = 256 << 20

// putSource takes a source in one request.
func (u *Uploads) putSource(w http.ResponseWriter, r *http.Request) {
	if err := u.takeSource(r); err != nil {
		web.Problem(w, r, err)
		return
	}
	u.Show(w, r)
}

func (u *Uploads) takeSource(r *http.Request) error {
	ctx, asset := r.Context(), r.PathValue("id")
	switch {
	case r.ContentLength < 0:
		return fault.New(fault.Invalid, "the request needs a Content-Length")
	case r.ContentLength > min(maxPutSource, int64(u.Config.MaxSize)):
		return fault.New(fault.Limit, "the file is too large for one request: send it to /v1/uploads by tus")
	}
	principal, ok := guard.From(ctx)
	if !ok {
		return fault.New(fault.Forbidden, "sign in with a key")
	}
	if !id.Valid("ast", asset) {
		return fault.New(fault.NotFound, "there is no asset %.40q", asset)
	}
	size := r.ContentLength
	asset, err := u.Assets.BeginUpload(ctx, principal.Tenant, UploadRequest{Asset: asset, Size: size, Unfinished: u.Config.Unfinished})
	if err != nil {
		return err
	}
	object := sourceName(asset)
	progress := u.progress(ctx, asset, 0, size, io.LimitReader(r.Body, size))
	if _, err = u.Blob.Put(ctx, object, progress); err == nil {
		return u.Assets.Uploaded(ctx, asset, object, size)
	}
	if fault.CodeOf(err) == fault.Internal {
		err = fault.Wrap(err, fault.Invalid, "the file did not arrive whole: send it again")
	}
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, u.Assets.UploadFailed(settle, asset, err))
}

// sourceName is the name of an asset's source in the blob store.
func sourceName(asset string) string { return "assets/" + asset + "/source" }

// progress tells how much has been read, once a second at most. Reading ends when
// the asset is gone.
func (u *Uploads) progress(ctx context.Context, asset string, received, size int64, r io.Reader) io.Reader {
	return &progressReader{r: r, received: received, told: time.Now(), tell: func(received int64) error {
		return u.Assets.Uploading(ctx, asset, received, size)
	}}
}

type progressReader struct {
	r        io.Reader
	received int64
	told     time.Time
	tell     func(received int64) error
}

func (p *progressReader) Read(b []byte) (int, error) {
	if now := time.Now(); now.Sub(p.told) >= time.Second {
		p.told = now
		// A record that cannot be written now holds up no upload.
		if err := p.tell(p.received); fault.CodeOf(err) == fault.NotFound {
			return 0, err
		}
	}
	n, err := p.r.Read(b)
	p.received += int64(n)
	return n, err
}
