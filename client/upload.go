package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// UploadOptions says what an upload becomes.
type UploadOptions struct {
	// Name is the file's, for people; it becomes the asset's.
	Name string
	// Asset is one that was made before and has no source yet. Empty makes one.
	Asset string
	// Options and Policy are those of the asset that is made.
	Options *EncodeOptions
	Policy  Policy
	// Resume, when it is not empty, is the token of an earlier upload of the same
	// bytes, which goes on. Name, Asset, Options and Policy are then not looked at.
	Resume string
	// OnCreated is told the token of a new upload before its first byte goes out.
	// The token is no secret. An error ends the upload.
	OnCreated func(token string) error
	// OnProgress is told how many bytes have gone out. After a break the number
	// may be smaller than before.
	OnProgress func(sent, size int64)
	// Chunk is how many bytes go out in one request; 0 is 64 MiB.
	Chunk int64
	// Patience is how long to try while no byte comes through; 0 is 5 minutes.
	Patience time.Duration
}

const (
	uploadsPath = "/v1/uploads"
	tusVersion  = "1.0.0"
	// stalled is how long no byte may move within a request.
	stalled = time.Minute
)

// ErrOtherFile is in the chain when a Resume token is of an upload with another
// size.
var ErrOtherFile = errors.New("client: the upload that was begun is of another file")

// upload is one upload under way.
type upload struct {
	c      *Client
	source io.ReaderAt
	size   int64
	o      UploadOptions
	token  string // path of the upload below the base
}

// Upload sends size bytes of source as the source of an asset, in chunks that
// each begin where the server says that it has safely stored all before (tus
// 1.0.0). When the connection breaks it goes on, for as long as o.Patience
// allows. When ctx ends, or after any error, the upload stays on the server for
// a day: a later Upload, in another process if need be, goes on with o.Resume.
// An error with code NotFound for a Resume token says that there is no such
// upload any more.
func (c *Client) Upload(ctx context.Context, source io.ReaderAt, size int64, o UploadOptions) (Asset, error) {
	if o.Chunk <= 0 {
		o.Chunk = 64 << 20
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Minute
	}
	u := &upload{c: c, source: source, size: size, o: o, token: o.Resume}
	if u.token == "" {
		if err := u.create(ctx); err != nil {
			return Asset{}, err
		}
	} else if !strings.HasPrefix(path.Clean(u.token), uploadsPath+"/") {
		return Asset{}, fmt.Errorf("client: %q is no token of an upload", u.token)
	}
	if err := u.send(ctx); err != nil {
		return Asset{}, err
	}
	return c.Assets.Get(ctx, path.Base(u.token))
}

// CancelUpload gives up an upload: what the server has of it is removed.
func (c *Client) CancelUpload(ctx context.Context, token string) error {
	if !strings.HasPrefix(path.Clean(token), uploadsPath+"/") {
		return fmt.Errorf("client: %q is no token of an upload", token)
	}
	return c.do(ctx, call{method: http.MethodDelete, path: path.Clean(token), tus: true})
}

// create makes the upload and tells its token.
func (u *upload) create(ctx context.Context) error {
	metadata, err := u.metadata()
	if err != nil {
		return err
	}
	token, err := u.c.createUpload(ctx, u.size, metadata)
	if err != nil {
		return err
	}
	u.token = token
	if u.o.OnCreated != nil {
		return u.o.OnCreated(token)
	}
	return nil
}

// metadata is the value of Upload-Metadata.
func (u *upload) metadata() (string, error) {
	pairs := [][2]string{{"filename", u.o.Name}, {"asset", u.o.Asset}, {"playback_policy", string(u.o.Policy)}}
	if u.o.Options != nil {
		options, err := json.Marshal(u.o.Options)
		if err != nil {
			return "", fmt.Errorf("client: encode options: %w", err)
		}
		pairs = append(pairs, [2]string{"options", string(options)})
	}
	var all []string
	for _, pair := range pairs {
		if pair[1] != "" {
			all = append(all, pair[0]+" "+base64.StdEncoding.EncodeToString([]byte(pair[1])))
		}
	}
	return strings.Join(all, ","), nil
}

// createUpload makes an upload and returns its token: the path of its URL. The
// rest of the URL is what the client knows already, and a server behind a proxy
// may know it wrong.
func (c *Client) createUpload(ctx context.Context, size int64, metadata string) (string, error) {
	header := http.Header{"Upload-Length": {strconv.FormatInt(size, 10)}}
	if metadata != "" {
		header.Set("Upload-Metadata", metadata)
	}
	var answer http.Header
	if err := c.do(ctx, call{method: http.MethodPost, path: uploadsPath, tus: true, header: header, answer: &answer}); err != nil {
		return "", err
	}
	location, err := url.Parse(answer.Get("Location"))
	if err != nil {
		return "", &notOurs{err}
	}
	i := strings.Index(location.Path, uploadsPath+"/")
	if i < 0 {
		return "", &notOurs{fmt.Errorf("location %q is not below %s", location, uploadsPath)}
	}
	return path.Clean(location.Path[i:]), nil
}

// send sends what the server has not got, until it has all or patience ends.
func (u *upload) send(ctx context.Context) error {
	failures, best := 0, int64(-1)
	deadline := time.Now().Add(u.o.Patience)
	for {
		offset, err := u.offset(ctx)
		if err == nil && offset >= u.size {
			u.progress(u.size)
			return nil
		}
		if err == nil {
			if offset > best {
				best, failures = offset, 0
				deadline = time.Now().Add(u.o.Patience)
			}
			err = u.chunks(ctx, offset)
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil || !resumable(err) || time.Now().After(deadline) {
			return err
		}
		failures++
		if !sleep(ctx, pause(failures, err)) {
			return err
		}
	}
}

// resumable reports whether it makes sense to ask the server where it is and to
// go on. A conflict is another request that still holds the upload, or an offset
// that moved.
func resumable(err error) bool {
	var answer *Error
	if errors.As(err, &answer) {
		switch answer.Status {
		case http.StatusConflict, http.StatusLocked, http.StatusRequestTimeout, http.StatusTooManyRequests,
			http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var bad *notOurs
	return !errors.As(err, &bad) && !errors.Is(err, ErrOtherFile) && !errors.Is(err, errSource)
}

// offset asks how many bytes the server has.
func (u *upload) offset(ctx context.Context) (int64, error) {
	var answer http.Header
	if err := u.c.do(ctx, call{method: http.MethodHead, path: u.token, tus: true, answer: &answer}); err != nil {
		return 0, err
	}
	if length, err := strconv.ParseInt(answer.Get("Upload-Length"), 10, 64); err == nil && length != u.size {
		return 0, fmt.Errorf("%w: it has %d bytes, not %d", ErrOtherFile, length, u.size)
	}
	return readOffset(answer, u.size)
}

// readOffset reads Upload-Offset.
func readOffset(header http.Header, size int64) (int64, error) {
	offset, err := strconv.ParseInt(header.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 || offset > size {
		return 0, &notOurs{fmt.Errorf("Upload-Offset is %q", header.Get("Upload-Offset"))}
	}
	return offset, nil
}

// chunks sends from offset to the end, request by request.
func (u *upload) chunks(ctx context.Context, offset int64) error {
	for offset < u.size {
		next, err := u.patch(ctx, offset, min(u.o.Chunk, u.size-offset))
		if err != nil {
			return err
		}
		if next <= offset {
			return &notOurs{fmt.Errorf("the offset stays %d after a chunk", offset)}
		}
		offset = next
	}
	return nil
}

// errSource marks errors of the source, which no retry helps.
var errSource = errors.New("client: read source")

// patch sends n bytes from offset and returns the offset that the server then
// has.
func (u *upload) patch(ctx context.Context, offset, n int64) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stalled, func() { cancel(errSilent) })
	defer watch.Stop()
	body := &chunk{source: io.NewSectionReader(u.source, offset, n)}
	body.moved = func(sent int64) {
		watch.Reset(stalled)
		u.progress(offset + sent)
	}
	request, err := u.c.request(ctx, http.MethodPatch, u.token, nil, body)
	if err != nil {
		return 0, err
	}
	request.ContentLength = n
	request.Header.Set("Tus-Resumable", tusVersion)
	request.Header.Set("Content-Type", "application/offset+octet-stream")
	request.Header.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	response, err := u.c.http.Do(request)
	if err != nil {
		return 0, fmt.Errorf("client: %w", err)
	}
	defer response.Body.Close()
	if err := decode(response, nil); err != nil {
		return 0, err
	}
	return readOffset(response.Header, u.size)
}

func (u *upload) progress(sent int64) {
	if u.o.OnProgress != nil {
		u.o.OnProgress(sent, u.size)
	}
}

// chunk is the body of one request.
type chunk struct {
	source *io.SectionReader
	sent   int64
	moved  func(sent int64)
}

// Read reads from the source and tells how far it is.
func (b *chunk) Read(p []byte) (int, error) {
	n, err := b.source.Read(p)
	b.sent += int64(n)
	b.moved(b.sent)
	switch {
	case err == io.EOF && b.sent < b.source.Size():
		err = fmt.Errorf("%w: it is shorter than it was", errSource)
	case err != nil && err != io.EOF:
		err = fmt.Errorf("%w: %w", errSource, err)
	}
	return n, err
}
