package vod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	tusd "github.com/tus/tusd/v2/pkg/handler"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/web"
)

// uploadRecords is where the records of uploads lie in the blob store.
const uploadRecords = "uploads/"

// uploadRecord is what has to be known of an upload besides its bytes.
type uploadRecord struct {
	Asset  string    `json:"asset"`
	Size   int64     `json:"size"`
	Active time.Time `json:"active"` // the last sign of life, to the minute
	Done   bool      `json:"done"`   // the asset has its source
}

// activeEvery is how fresh Active is kept.
const activeEvery = time.Minute

func (u *Uploads) readRecord(ctx context.Context, asset string) (record uploadRecord, err error) {
	object, err := u.Blob.Open(ctx, uploadRecords+asset)
	if err != nil {
		return record, err
	}
	defer object.Close()
	text, err := io.ReadAll(io.LimitReader(object, 64<<10))
	if err != nil {
		return record, fmt.Errorf("read the record of an upload: %w", err)
	}
	if err := json.Unmarshal(text, &record); err != nil {
		return record, fmt.Errorf("read the record of an upload: %w", err)
	}
	return record, nil
}

func (u *Uploads) writeRecord(ctx context.Context, record uploadRecord) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	_, err = u.Blob.Put(ctx, uploadRecords+record.Asset, bytes.NewReader(text))
	return err
}

// forget drops the bytes and the record of an upload.
func (u *Uploads) forget(ctx context.Context, asset string) error {
	if err := u.Blob.Abort(ctx, sourceName(asset)); err != nil {
		return err
	}
	return u.Blob.Delete(ctx, uploadRecords+asset)
}

// finishTime bounds finishing an upload whose client has gone.
const finishTime = time.Minute

// finish names the source and hands it to the asset, also when the client does not
// wait for it. It may be called again after a crash at any point.
func (u *Uploads) finish(ctx context.Context, record *uploadRecord) error {
	if record.Done {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	object := sourceName(record.Asset)
	if _, err := u.Blob.Seal(ctx, object, record.Size); err != nil {
		return err
	}
	if err := u.Assets.Uploaded(ctx, record.Asset, object, record.Size); err != nil {
		return err
	}
	done := *record
	done.Done, done.Active = true, time.Now().UTC()
	if err := u.writeRecord(ctx, done); err != nil {
		return err
	}
	*record = done
	return nil
}

// received says how many bytes of an upload are durable.
func (u *Uploads) received(ctx context.Context, record uploadRecord) (int64, error) {
	if record.Done {
		return record.Size, nil
	}
	have, err := u.Blob.Appended(ctx, sourceName(record.Asset))
	if err != nil || have > 0 {
		return have, err
	}
	// Nothing is gathered when nothing came, or when a crash followed the seal.
	info, err := u.Blob.Stat(ctx, sourceName(record.Asset))
	if fault.CodeOf(err) == fault.NotFound {
		return 0, nil
	}
	if err != nil || info.Size != record.Size {
		return 0, err
	}
	return record.Size, nil
}

// uploadBegin is the key under which create passes what it has read to NewUpload.
type uploadBegin struct{}

type begin struct {
	tenant  string
	request UploadRequest
}

// uploadStore is what tus stores into.
type uploadStore struct{ u *Uploads }

var (
	_ tusd.DataStore           = uploadStore{}
	_ tusd.TerminaterDataStore = uploadStore{}
)

// NewUpload begins an upload: first the asset, then the record that makes it one.
func (s uploadStore) NewUpload(ctx context.Context, info tusd.FileInfo) (tusd.Upload, error) {
	b, ok := ctx.Value(uploadBegin{}).(begin)
	if !ok {
		return nil, errors.New("an upload was begun past its handler")
	}
	b.request.Size = info.Size
	asset, err := s.u.Assets.BeginUpload(ctx, b.tenant, b.request)
	if err != nil {
		return nil, tusError(err)
	}
	// What an earlier upload of the same asset left is not part of this one.
	err = s.u.Blob.Abort(ctx, sourceName(asset))
	record := uploadRecord{Asset: asset, Size: info.Size, Active: time.Now().UTC()}
	if err == nil {
		err = s.u.writeRecord(ctx, record)
	}
	if err != nil {
		return nil, tusError(errors.Join(err, s.u.Assets.UploadFailed(ctx, asset, err)))
	}
	return &upload{s.u, record}, nil
}

// GetUpload finds an upload whose owner is checked already.
func (s uploadStore) GetUpload(ctx context.Context, asset string) (tusd.Upload, error) {
	record, err := s.u.readRecord(ctx, asset)
	if fault.CodeOf(err) == fault.NotFound {
		err = noUpload(asset)
	}
	if err != nil {
		return nil, tusError(err)
	}
	return &upload{s.u, record}, nil
}

// AsTerminatableUpload returns the same upload.
func (s uploadStore) AsTerminatableUpload(u tusd.Upload) tusd.TerminatableUpload { return u.(*upload) }

// upload is one upload during one request.
type upload struct {
	u      *Uploads
	record uploadRecord
}

// GetInfo describes the upload. One that has all its bytes is finished: a crash may
// have come between.
func (u *upload) GetInfo(ctx context.Context) (tusd.FileInfo, error) {
	have, err := u.u.received(ctx, u.record)
	if err == nil && have == u.record.Size {
		err = u.u.finish(ctx, &u.record)
	}
	if err != nil {
		return tusd.FileInfo{}, tusError(err)
	}
	return tusd.FileInfo{ID: u.record.Asset, Size: u.record.Size, Offset: have}, nil
}

// WriteChunk makes what src gives durable, and says how much that was.
func (u *upload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	if cut, ok := ctx.Value(uploadCutKey{}).(*uploadCut); ok {
		src = cut.reader(src)
	}
	src = u.u.progress(ctx, u.record.Asset, offset, u.record.Size, src)
	n, err := u.u.Blob.Append(ctx, sourceName(u.record.Asset), offset, src)
	if now := time.Now().UTC(); err == nil && offset+n < u.record.Size && now.Sub(u.record.Active) > activeEvery {
		u.record.Active = now
		err = u.u.writeRecord(ctx, u.record)
	}
	if err != nil {
		return n, tusError(err)
	}
	return n, nil
}

// FinishUpload hands the source over.
func (u *upload) FinishUpload(ctx context.Context) error { return tusError(u.u.finish(ctx, &u.record)) }

// GetReader is not offered: nothing is downloaded from here.
func (u *upload) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, tusd.ErrNotImplemented
}

// Terminate gives the upload up. A finished one is left to its asset.
func (u *upload) Terminate(ctx context.Context) error {
	if u.record.Done {
		return tusError(u.u.Blob.Delete(ctx, uploadRecords+u.record.Asset))
	}
	err := u.u.Assets.UploadFailed(ctx, u.record.Asset, fault.New(fault.Canceled, "the upload was given up"))
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return tusError(err)
	}
	return tusError(u.u.forget(ctx, u.record.Asset))
}

// tusError makes tus answer with the same problem document as the rest of the API.
func tusError(err error) error {
	if err == nil || errors.As(err, new(tusd.Error)) {
		return err
	}
	answer := &recordedAnswer{header: make(http.Header)}
	request, buildErr := http.NewRequest(http.MethodGet, uploadPath, nil)
	if buildErr != nil {
		return errors.Join(err, buildErr)
	}
	web.Problem(answer, request, err)
	return tusd.Error{ErrorCode: string(fault.CodeOf(err)), Message: err.Error(), HTTPResponse: tusd.HTTPResponse{
		StatusCode: answer.status, Body: answer.body.String(),
		Header: tusd.HTTPHeader{"Content-Type": answer.header.Get("Content-Type")},
	}}
}

// recordedAnswer is a ResponseWriter that keeps what it is told.
type recordedAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recordedAnswer) Header() http.Header         { return a.header }
func (a *recordedAnswer) WriteHeader(status int)      { a.status = status }
func (a *recordedAnswer) Write(p []byte) (int, error) { return a.body.Write(p) }
