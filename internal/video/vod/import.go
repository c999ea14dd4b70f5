package vod

import (
	"context"
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

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/ingest"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/dial"
	"liuyun/internal/kit/job"
)

// Limits of an import.
const (
	maxImportURL  = 2048
	maxRedirects  = 5
	importTries   = 8 // in a row that bring nothing new
	longestPause  = 30 * time.Second
	importRecords = "imports/"
)

// Importer fetches sources that a client names by an address, on any node. It goes to
// public addresses and to those that the configuration allows, whatever names and
// redirects say, and through no proxy. A connection that breaks is made again where it
// broke, also by the next attempt on another node, as long as the server says that the
// file is still the same. What the file is, is for others to find out.
type Importer struct {
	blob   blob.Backend
	config ImportConfig
	client *http.Client
	pause  func(ctx context.Context, d time.Duration) error
}

// NewImporter stores what it fetches in b.
func NewImporter(b blob.Backend, c ImportConfig) (*Importer, error) {
	guard, err := dial.New(c.Allow)
	if err != nil {
		return nil, err
	}
	transport := guard.Transport()
	transport.DisableCompression = true // the bytes as they are
	client := &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fault.New(fault.Invalid, "the address leads on more than %d times", maxRedirects)
		}
		return CheckImportURL(r.URL.String())
	}}
	return &Importer{blob: b, config: c, client: client, pause: pause}, nil
}

// Kind is the importer as a kind of job, [ingest.Import].
func (i *Importer) Kind(slots int) job.Kind { return job.Kind{Slots: slots, Handle: i.handle} }

func (i *Importer) handle(ctx context.Context, l *job.Lease) (any, error) {
	var request ingest.Request
	if err := json.Unmarshal(l.Payload, &request); err != nil {
		return nil, fmt.Errorf("read the job: %w", err)
	}
	return i.fetch(ctx, request, func(fraction float64) { l.Progress(fraction, "import") })
}

// CheckImportURL says what is wrong with an address to import from. Whether it leads to
// a private network shows only when it is called.
func CheckImportURL(text string) error {
	if len(text) > maxImportURL {
		return fault.New(fault.Invalid, "the address has more than %d characters", maxImportURL)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fault.New(fault.Invalid, "the source's address has to begin with http:// or https:// and a host")
	case u.User != nil:
		return fault.New(fault.Invalid, "the source's address holds a user or a password, which would be stored with it: use a signed address")
	}
	return nil
}

// importRecord is what the next attempt has to know.
type importRecord struct {
	URL       string `json:"url"`
	Validator string `json:"validator"` // strong ETag or date of what is gathered; empty: it cannot be resumed
}

// download is one import under way.
type download struct {
	*Importer
	ingest.Request
	record   importRecord
	received int64
	total    int64 // -1 while unknown
	progress func(fraction float64)
}

// fetch brings the file into the store, whole.
func (i *Importer) fetch(ctx context.Context, request ingest.Request, progress func(float64)) (ingest.Result, error) {
	if err := CheckImportURL(request.URL); err != nil {
		return ingest.Result{}, err
	}
	d := &download{Importer: i, Request: request, total: -1, progress: progress}
	if err := d.resume(ctx); err != nil {
		return ingest.Result{}, err
	}
	if err := d.all(ctx); err != nil {
		return ingest.Result{}, d.giveUp(ctx, err)
	}
	if _, err := i.blob.Seal(ctx, d.Object, d.received); err != nil {
		return ingest.Result{}, err
	}
	if err := i.blob.Delete(ctx, importRecords+d.Asset); err != nil {
		return ingest.Result{}, err
	}
	return ingest.Result{Object: d.Object, Size: d.received, Name: fileName(request.URL)}, nil
}

// all calls the server until everything is here.
func (d *download) all(ctx context.Context) error {
	wait := time.Second
	for failures := 0; ; {
		before := d.received
		done, err := d.once(ctx)
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case fault.CodeOf(err) != fault.Unavailable:
			return err
		case d.received > before:
			failures, wait = 0, time.Second
		}
		if failures++; failures == importTries {
			return err
		}
		if d.record.Validator == "" { // nothing says that it is still the same file
			if err := d.restart(ctx); err != nil {
				return err
			}
		}
		if err := d.pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, longestPause)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// resume finds out what an earlier attempt has left. What cannot be gone on with is
// dropped.
func (d *download) resume(ctx context.Context) error {
	object, err := d.blob.Open(ctx, importRecords+d.Asset)
	if err == nil {
		defer object.Close()
		err = json.NewDecoder(io.LimitReader(object, 64<<10)).Decode(&d.record)
	}
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return fmt.Errorf("read the record of an import: %w", err)
	}
	if d.record.URL != d.URL || d.record.Validator == "" {
		return d.restart(ctx)
	}
	d.received, err = d.blob.Appended(ctx, d.Object)
	return err
}

func (d *download) restart(ctx context.Context) error {
	d.received, d.record = 0, importRecord{URL: d.URL}
	return d.blob.Abort(ctx, d.Object)
}

// giveUp drops what is gathered unless another attempt can go on with it.
func (d *download) giveUp(ctx context.Context, err error) error {
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.NotFound, fault.Forbidden, fault.Limit:
		return errors.Join(err, d.blob.Abort(ctx, d.Object), d.blob.Delete(ctx, importRecords+d.Asset))
	}
	return err
}

// once makes one request and stores what it brings. It reports true when that was the
// last byte. A fault of code unavailable means that another request may do better.
func (d *download) once(ctx context.Context) (done bool, err error) {
	requestCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	response, err := d.ask(requestCtx)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	done, err = d.accept(ctx, response)
	if done || err != nil {
		return done, err
	}
	if d.total > int64(d.config.MaxSize) {
		return false, d.tooLarge()
	}
	stalled := time.AfterFunc(d.config.Stall, func() { cancel(fmt.Errorf("nothing came for %s", d.config.Stall)) })
	defer stalled.Stop()
	body := &importReader{d: d, r: io.LimitReader(response.Body, int64(d.config.MaxSize)-d.received+1), at: d.received, stalled: stalled}
	written, err := d.blob.Append(ctx, d.Object, d.received, body)
	d.received += written
	switch {
	case fault.CodeOf(err) == fault.Conflict:
		return false, d.giveWay(ctx, err)
	case err != nil && body.err == nil:
		return false, err // ours, not the server's
	case d.received > int64(d.config.MaxSize):
		return false, d.tooLarge()
	case d.received == d.total || d.total < 0 && body.err == nil:
		return true, nil
	}
	cause := context.Cause(requestCtx)
	if cause == nil {
		cause = body.err
	}
	return false, fault.Wrap(cause, fault.Unavailable, "the connection to %s broke off after %d bytes", response.Request.URL.Host, d.received)
}

// giveWay goes on where another writer has come to: a worker that was cut off, and has
// lost the job to this one, may hold the object until its connection is given up.
func (d *download) giveWay(ctx context.Context, err error) error {
	have, sizeErr := d.blob.Appended(ctx, d.Object)
	if sizeErr != nil {
		return errors.Join(sizeErr, err)
	}
	d.received = have
	return fault.Wrap(err, fault.Unavailable, "another worker still holds the file; it is tried again")
}

func (d *download) tooLarge() error {
	return fault.New(fault.Limit, "the file is larger than %s, the most that is imported", d.config.MaxSize)
}

// ask sends a request for what is missing.
func (d *download) ask(ctx context.Context) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL, nil)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the source's address cannot be used")
	}
	request.Header.Set("User-Agent", "liuyun")
	if d.received > 0 {
		request.Header.Set("Range", "bytes="+strconv.FormatInt(d.received, 10)+"-")
		request.Header.Set("If-Range", d.record.Validator)
	}
	response, err := d.client.Do(request)
	if err == nil {
		return response, nil
	}
	if code := fault.CodeOf(err); code == fault.Forbidden || code == fault.Invalid {
		return nil, fault.Wrap(err, code, "%s", fault.Message(err))
	}
	return nil, fault.Wrap(err, fault.Unavailable, "the source's server at %s does not answer", request.URL.Host)
}

// accept looks at the head of an answer: what it says about size and sameness. It
// reports true when nothing is missing.
func (d *download) accept(ctx context.Context, response *http.Response) (done bool, err error) {
	d.total = -1
	switch status := response.StatusCode; {
	case status == http.StatusOK:
		if d.received > 0 { // it has changed, or the server knows no ranges
			if err := d.restart(ctx); err != nil {
				return false, err
			}
		}
		d.total = response.ContentLength
		return false, d.remember(ctx, response.Header)
	case status == http.StatusPartialContent && d.received > 0:
		first, total, ok := parseContentRange(response.Header.Get("Content-Range"))
		if !ok || first != d.received {
			return false, errors.Join(fault.New(fault.Unavailable, "the source's server sent another part than it was asked for"), d.restart(ctx))
		}
		d.total = total
		return false, nil
	case status == http.StatusRequestedRangeNotSatisfiable && d.received > 0:
		if total, found := strings.CutPrefix(response.Header.Get("Content-Range"), "bytes */"); found && total == strconv.FormatInt(d.received, 10) {
			return true, nil
		}
		return false, errors.Join(fault.New(fault.Unavailable, "the source changed while it was fetched"), d.restart(ctx))
	default:
		return false, statusFault(response)
	}
}

// statusFault explains an answer that brings no file.
func statusFault(response *http.Response) error {
	host, status := response.Request.URL.Host, response.StatusCode
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return fault.New(fault.NotFound, "there is nothing at the source's address: %s answered %d", host, status)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fault.New(fault.Forbidden, "%s does not give out the source: it answered %d", host, status)
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		return fault.New(fault.Unavailable, "the source's server at %s answered %d", host, status)
	default:
		return fault.New(fault.Invalid, "the source's server at %s answered %d, which is no file", host, status)
	}
}

// remember notes by what the file is recognised when it is asked for again.
func (d *download) remember(ctx context.Context, header http.Header) error {
	validator := header.Get("ETag")
	if validator == "" || strings.HasPrefix(validator, "W/") {
		validator = header.Get("Last-Modified")
	}
	if len(validator) > 1024 {
		validator = ""
	}
	d.record.Validator = validator
	text, err := json.Marshal(d.record)
	if err != nil {
		return err
	}
	_, err = d.blob.Put(ctx, importRecords+d.Asset, strings.NewReader(string(text)))
	return err
}

// parseContentRange reads "bytes FIRST-LAST/TOTAL" (RFC 9110 §14.4); an unknown total
// is -1.
func parseContentRange(text string) (first, total int64, ok bool) {
	text, found := strings.CutPrefix(text, "bytes ")
	span, size, found2 := strings.Cut(text, "/")
	from, to, found3 := strings.Cut(span, "-")
	if !found || !found2 || !found3 {
		return 0, 0, false
	}
	first, err := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	if total = -1; size != "*" {
		var err3 error
		if total, err3 = strconv.ParseInt(size, 10, 64); err3 != nil || total <= last {
			return 0, 0, false
		}
	}
	return first, total, err == nil && err2 == nil && first >= 0 && last >= first
}

// importReader reads a body, tells how far it is, and notes the server's failures.
type importReader struct {
	d       *download
	r       io.Reader
	at      int64
	told    time.Time
	stalled *time.Timer
	err     error
}

func (r *importReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.at += int64(n)
	if n > 0 {
		r.stalled.Reset(r.d.config.Stall)
	}
	if now := time.Now(); r.d.total > 0 && now.Sub(r.told) >= time.Second {
		r.told = now
		r.d.progress(min(1, float64(r.at)/float64(r.d.total)))
	}
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// fileName is the last part of an address's path.
func fileName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	name := path.Base(u.Path)
	if name == "." || name == "/" || len(name) > maxUploadName || strings.ToValidUTF8(name, "") != name {
		return ""
	}
	return name
}
