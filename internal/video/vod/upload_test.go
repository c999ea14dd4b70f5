package vod

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/id"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/blob/blobtest"
	"liuyun/internal/kit/guard"
)

// fakeAssets keeps the rules of uploadAssets in memory.
type fakeAssets struct {
	mu     sync.Mutex
	ids    id.Maker
	tenant map[string]string
	state  map[string]string // uploading, uploaded, failed
	begun  map[string]time.Time
	asked  UploadRequest
	calls  int // of Uploaded
}

func (f *fakeAssets) BeginUpload(_ context.Context, tenant string, r UploadRequest) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = r
	unfinished := 0
	for asset, state := range f.state {
		if state == "uploading" && f.tenant[asset] == tenant {
			unfinished++
		}
	}
	if unfinished >= r.Unfinished {
		return "", fault.New(fault.Limit, "too many")
	}
	asset := r.Asset
	switch {
	case asset == "":
		asset = f.ids.New("ast")
	case f.tenant[asset] != tenant:
		return "", fault.New(fault.NotFound, "no asset")
	case f.state[asset] == "uploaded" || f.state[asset] == "uploading":
		return "", fault.New(fault.Conflict, "it is %s", f.state[asset])
	}
	f.tenant[asset], f.state[asset] = tenant, "uploading"
	if f.begun == nil {
		f.begun = make(map[string]time.Time)
	}
	f.begun[asset] = time.Now()
	return asset, nil
}

func (f *fakeAssets) OwnerOf(_ context.Context, asset string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tenant, ok := f.tenant[asset]
	if !ok {
		return "", fault.New(fault.NotFound, "no asset")
	}
	return tenant, nil
}

func (f *fakeAssets) Uploading(ctx context.Context, asset string, _, _ int64) error {
	_, err := f.OwnerOf(ctx, asset)
	return err
}

func (f *fakeAssets) Uploaded(_ context.Context, asset, object string, _ int64) error {
	f.set(asset, "uploaded")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if object != "assets/"+asset+"/source" {
		return fmt.Errorf("the object is %q", object)
	}
	return nil
}

func (f *fakeAssets) UploadFailed(_ context.Context, asset string, _ error) error {
	f.set(asset, "failed")
	return nil
}

func (f *fakeAssets) Resting(_ context.Context, since time.Time) (list []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for asset, state := range f.state {
		if state == "uploading" && f.begun[asset].Before(since) {
			list = append(list, asset)
		}
	}
	return list, nil
}

func (f *fakeAssets) set(asset, state string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state[asset] = state
}

func (f *fakeAssets) stateOf(asset string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state[asset]
}

type uploadBench struct {
	t       *testing.T
	uploads *Uploads
	assets  *fakeAssets
	store   *blob.FS
	server  *httptest.Server
}

func newUploadBench(t *testing.T) *uploadBench {
	t.Helper()
	store, err := blob.NewFS(t.TempDir(), blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	assets := &fakeAssets{tenant: map[string]string{}, state: map[string]string{}}
	config := UploadConfig{MaxSize: 1 << 30, Unfinished: 3, Expires: time.Hour}
	uploads, err := NewUploads(UploadDeps{Assets: assets, Blob: store, Config: config, Log: slog.New(slog.DiscardHandler),
		Show: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("id")) }})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/uploads", uploads.create)
	mux.HandleFunc("/v1/uploads/{id}", uploads.one)
	mux.HandleFunc("PUT /v1/assets/{id}/source", uploads.putSource)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tenant := r.Header.Get("Tenant"); tenant != "" {
			r = r.WithContext(guard.With(r.Context(), guard.Principal{Tenant: tenant, Scopes: []string{guard.AssetsWrite}}))
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return &uploadBench{t, uploads, assets, store, server}
}

// do makes a request of tenant a; headers are pairs.
func (b *uploadBench) do(method, path string, body io.Reader, headers ...string) *http.Response {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Tus-Resumable", "1.0.0")
	request.Header.Set("Tenant", "a")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := b.server.Client().Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { response.Body.Close() })
	return response
}

const chunk = "application/offset+octet-stream"

func (b *uploadBench) begin(size int, headers ...string) (path, asset string) {
	b.t.Helper()
	response := b.do("POST", "/v1/uploads", nil, append(headers, "Upload-Length", strconv.Itoa(size))...)
	b.status(response, http.StatusCreated)
	path, asset = response.Header.Get("Location"), response.Header.Get("Liuyun-Asset")
	if path != "/v1/uploads/"+asset || !id.Valid("ast", asset) || response.Header.Get("Upload-Expires") == "" {
		b.t.Fatalf("got headers %v", response.Header)
	}
	return path, asset
}

func (b *uploadBench) patch(path string, offset int, body []byte, want int) *http.Response {
	b.t.Helper()
	response := b.do("PATCH", path, bytes.NewReader(body), "Upload-Offset", strconv.Itoa(offset), "Content-Type", chunk)
	b.status(response, want)
	return response
}

func (b *uploadBench) status(response *http.Response, want int) {
	b.t.Helper()
	if response.StatusCode != want {
		text, _ := io.ReadAll(response.Body)
		b.t.Fatalf("got %s, want %d: %s", response.Status, want, text)
	}
}

func (b *uploadBench) offset(path string) string {
	b.t.Helper()
	response := b.do("HEAD", path, nil)
	b.status(response, http.StatusOK)
	return response.Header.Get("Upload-Offset")
}

func (b *uploadBench) source(asset string) []byte {
	b.t.Helper()
	object, err := b.store.Open(b.t.Context(), sourceName(asset))
	if err != nil {
		b.t.Fatal(err)
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	if err != nil {
		b.t.Fatal(err)
	}
	return content
}

func TestUploadInPieces(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	want := blobtest.Bytes(3<<20, 1)
	encode := base64.StdEncoding.EncodeToString
	path, asset := b.begin(len(want), "Upload-Metadata", "filename "+encode([]byte("电影.mp4"))+",own "+encode([]byte("x"))+
		",options "+encode([]byte(`{"preset":"fast"}`))+",playback_policy "+encode([]byte("signed")))
	wantRequest := UploadRequest{Name: "电影.mp4", Size: int64(len(want)), Options: []byte(`{"preset":"fast"}`), PlaybackPolicy: "signed", Unfinished: 3}
	if diff := cmp.Diff(wantRequest, b.assets.asked); diff != "" {
		t.Errorf("what BeginUpload was asked (-want +got):\n%s", diff)
	}
	b.patch(path, 0, want[:1<<20], http.StatusNoContent)
	if got := b.offset(path); got != "1048576" {
		t.Errorf("offset %s after 1 MiB", got)
	}
	b.patch(path, 5, want[5:10], http.StatusConflict)
	b.patch(path, 1<<20, want[1<<20:], http.StatusNoContent)
	if got := b.assets.stateOf(asset); got != "uploaded" {
		t.Errorf("the asset is %s", got)
	}
	if !bytes.Equal(b.source(asset), want) {
		t.Error("other bytes were stored")
	}
	// The last answer may have been lost: the client asks again.
	if got := b.offset(path); got != strconv.Itoa(len(want)) {
		t.Errorf("offset %s at the end", got)
	}
	if b.assets.calls != 1 {
		t.Errorf("Uploaded was called %d times", b.assets.calls)
	}
	b.status(b.do("DELETE", path, nil), http.StatusNoContent)
	if got := b.assets.stateOf(asset); got != "uploaded" {
		t.Errorf("after the finished upload was deleted the asset is %s", got)
	}
}

func TestUploadWithItsCreation(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	for _, content := range []string{"", "hello"} {
		response := b.do("POST", "/v1/uploads", strings.NewReader(content), "Upload-Length", strconv.Itoa(len(content)), "Content-Type", chunk)
		b.status(response, http.StatusCreated)
		asset := response.Header.Get("Liuyun-Asset")
		if got := string(b.source(asset)); got != content || b.assets.stateOf(asset) != "uploaded" {
			t.Errorf("got %q, state %s", got, b.assets.stateOf(asset))
		}
	}
}

// A second connection cuts the first off, and goes on where that one had come.
func TestUploadIsTakenOver(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	want := blobtest.Bytes(2<<20, 2)
	path, asset := b.begin(len(want))
	conn, err := net.Dial("tcp", b.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nTenant: a\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", path, chunk, len(want))
	// Before it is there, it would be the one that takes over.
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("the first request is answered with %q, %v", line, err)
	}
	if _, err := conn.Write(want[:1<<20]); err != nil {
		t.Fatal(err)
	}
	// The first one hangs here: it has sent half, which may still be on the way, and then
	// it is cut before that.
	offset, err := strconv.Atoi(b.offset(path))
	if err != nil {
		t.Fatal(err)
	}
	b.patch(path, offset, want[offset:], http.StatusNoContent)
	if !bytes.Equal(b.source(asset), want) {
		t.Error("other bytes were stored")
	}
}

func TestUploadOfOthers(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	path, asset := b.begin(10)
	for _, method := range []string{"HEAD", "PATCH", "DELETE"} {
		b.status(b.do(method, path, nil, "Tenant", "b", "Upload-Offset", "0", "Content-Type", chunk), http.StatusNotFound)
		b.status(b.do(method, "/v1/uploads/ast_none", nil, "Upload-Offset", "0", "Content-Type", chunk), http.StatusNotFound)
	}
	b.status(b.do("PUT", "/v1/assets/"+asset+"/source", strings.NewReader("x"), "Tenant", "b"), http.StatusNotFound)
	name := base64.StdEncoding.EncodeToString([]byte(asset))
	b.status(b.do("POST", "/v1/uploads", nil, "Tenant", "b", "Upload-Length", "1", "Upload-Metadata", "asset "+name), http.StatusNotFound)
	// The method that was checked is the one that runs.
	b.status(b.do("PATCH", path, strings.NewReader("0123456789"), "X-HTTP-Method-Override", "DELETE", "Upload-Offset", "0", "Content-Type", chunk), http.StatusNoContent)
	if got := b.assets.stateOf(asset); got != "uploaded" {
		t.Errorf("the asset is %s", got)
	}
}

func TestUploadLimits(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	b.status(b.do("POST", "/v1/uploads", nil, "Upload-Length", "2000000000"), http.StatusRequestEntityTooLarge)
	b.status(b.do("POST", "/v1/uploads", nil), http.StatusBadRequest)
	b.status(b.do("POST", "/v1/uploads", nil, "Upload-Length", "1", "Upload-Metadata", "filename !"), http.StatusBadRequest)
	path, _ := b.begin(5)
	b.patch(path, 0, []byte("too long"), http.StatusRequestEntityTooLarge)
	b.begin(5)
	b.begin(5)
	b.status(b.do("POST", "/v1/uploads", nil, "Upload-Length", "5"), http.StatusTooManyRequests)
}

func TestUploadIsGivenUp(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	path, asset := b.begin(10)
	b.patch(path, 0, []byte("half"), http.StatusNoContent)
	b.status(b.do("DELETE", path, nil), http.StatusNoContent)
	b.status(b.do("HEAD", path, nil), http.StatusNotFound)
	if have, err := b.store.Appended(t.Context(), sourceName(asset)); have != 0 || err != nil || b.assets.stateOf(asset) != "failed" {
		t.Errorf("%d bytes are left (%v), the asset is %s", have, err, b.assets.stateOf(asset))
	}
}

func TestUploadSweep(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	idle, idleAsset := b.begin(10)
	b.patch(idle, 0, []byte("half"), http.StatusNoContent)
	_, whole := b.begin(4)
	// All bytes are there, and the process died before it could say so.
	if _, err := b.store.Append(t.Context(), sourceName(whole), 0, strings.NewReader("full")); err != nil {
		t.Fatal(err)
	}
	_, gone := b.begin(4)
	b.assets.mu.Lock()
	delete(b.assets.tenant, gone)
	b.assets.mu.Unlock()

	if err := b.uploads.sweep(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if b.assets.stateOf(whole) != "uploaded" || string(b.source(whole)) != "full" {
		t.Errorf("the whole one is %s", b.assets.stateOf(whole))
	}
	if got := b.offset(idle); got != "4" {
		t.Errorf("the idle one was swept too early: %s", got)
	}
	if _, err := b.uploads.readRecord(t.Context(), gone); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the upload of a deleted asset is left: %v", err)
	}
	if err := b.uploads.sweep(t.Context(), time.Now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.status(b.do("HEAD", idle, nil), http.StatusNotFound)
	if got := b.assets.stateOf(idleAsset); got != "failed" {
		t.Errorf("the idle one is %s", got)
	}
	err := b.store.List(t.Context(), uploadRecords, func(info blob.Info) error { return fmt.Errorf("%s is left", info.Name) })
	if err != nil {
		t.Error(err)
	}
}

// A kill in the middle of a source in one request leaves an asset that waits for a
// client who cannot go on. It is given up, and takes another upload then.
func TestUploadIsLost(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	asset, err := b.assets.BeginUpload(t.Context(), "ten_a", UploadRequest{Size: 10, Unfinished: 10})
	if err != nil {
		t.Fatal(err)
	}
	_, under := b.begin(10)
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{putRest / 2, "uploading"}, {2 * putRest, "failed"}} {
		if err := b.uploads.sweep(t.Context(), time.Now().Add(step.after)); err != nil {
			t.Fatal(err)
		}
		if got := b.assets.stateOf(asset); got != step.want {
			t.Errorf("after %s it is %s, want %s", step.after, got, step.want)
		}
		if got := b.assets.stateOf(under); got != "uploading" {
			t.Errorf("after %s one that can be gone on with is %s", step.after, got)
		}
	}
}

// A crash between the seal and the record is made good by the next request.
func TestUploadAfterSeal(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	path, asset := b.begin(4)
	if _, err := b.store.Append(t.Context(), sourceName(asset), 0, strings.NewReader("full")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.Seal(t.Context(), sourceName(asset), 4); err != nil {
		t.Fatal(err)
	}
	if got := b.offset(path); got != "4" || b.assets.stateOf(asset) != "uploaded" {
		t.Errorf("offset %s, the asset is %s", got, b.assets.stateOf(asset))
	}
}

func TestPutSource(t *testing.T) {
	t.Parallel()
	b := newUploadBench(t)
	asset := b.assets.ids.New("ast")
	b.assets.tenant[asset], b.assets.state[asset] = "a", "created"
	path := "/v1/assets/" + asset + "/source"
	b.status(b.do("PUT", path, io.MultiReader(strings.NewReader("chunked"))), http.StatusBadRequest)

	conn, err := net.Dial("tcp", b.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: x\r\nTenant: a\r\nContent-Length: 10\r\n\r\nhalf", path)
	conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(conn)
	conn.Close()
	if err != nil || bytes.Contains(answer, []byte("200 OK")) {
		t.Errorf("half a body: %q, %v", answer, err)
	}
	if _, err := b.store.Stat(t.Context(), sourceName(asset)); fault.CodeOf(err) != fault.NotFound || b.assets.stateOf(asset) != "failed" {
		t.Errorf("half a body is stored: %v, the asset is %s", err, b.assets.stateOf(asset))
	}

	b.status(b.do("PUT", path, strings.NewReader("whole")), http.StatusOK)
	if got := string(b.source(asset)); got != "whole" || b.assets.stateOf(asset) != "uploaded" {
		t.Errorf("stored %q, the asset is %s", got, b.assets.stateOf(asset))
	}
	b.status(b.do("PUT", path, strings.NewReader("again")), http.StatusConflict)
}

func FuzzUploadMetadata(f *testing.F) {
	for _, seed := range []string{"", "filename d29ybGQ=", "a,b c, ,options e30=", "filename", "playback_policy c2lnbmVk,asset eA=="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r, err := parseUploadMetadata(header)
		if err != nil {
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("got code %s", fault.CodeOf(err))
			}
			return
		}
		if len(r.Name) > maxUploadName || len(r.Options) > maxUploadOptions || r.Asset != "" && !id.Valid("ast", r.Asset) {
			t.Errorf("got %+v", r)
		}
	})
}
