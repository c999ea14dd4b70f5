package blob

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"liuyun/internal/base/fault"
)

// Remote is a [Store] and an [Appender] on another node, which serves its own by
// [Handler].
type Remote struct {
	base   string
	client *http.Client
}

var _ Backend = (*Remote)(nil)

// NewRemote asks the Handler at baseURL. The client says who we are: its transport
// has the node's certificate. It must not have a timeout for whole requests.
func NewRemote(baseURL string, client *http.Client) *Remote {
	return &Remote{strings.TrimSuffix(baseURL, "/"), client}
}

// Put sends an object with its length and sum behind it.
func (c *Remote) Put(ctx context.Context, name string, r io.Reader) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	body := &summedReader{r: r, trailer: http.Header{lengthTrailer: nil, sumTrailer: nil}, sum: sha256.New()}
	request, err := c.request(ctx, http.MethodPut, name, nil, body)
	if err != nil {
		return Info{}, err
	}
	request.Trailer = body.trailer
	request.ContentLength = -1
	var info Info
	err = c.do(request, &info)
	if body.err != nil {
		return Info{}, body.err
	}
	return info, err
}

// summedReader sets the trailer when r has ended. It remembers r's own error, which
// the client would hide in one of its own.
type summedReader struct {
	r   io.Reader
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	length  int64
	trailer http.Header
	err     error
}

func (s *summedReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	s.length += int64(n)
	switch {
	case err == io.EOF:
		s.trailer.Set(lengthTrailer, strconv.FormatInt(s.length, 10))
		s.trailer.Set(sumTrailer, hex.EncodeToString(s.sum.Sum(nil)))
	case err != nil:
		s.err = err
	}
	return n, err
}

// Open describes the object; its bytes are asked for when they are read.
func (c *Remote) Open(ctx context.Context, name string) (Object, error) {
	info, err := c.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	return &rangeObject{ctx: ctx, info: info, fetch: func(ctx context.Context, from, length int64) (io.ReadCloser, error) {
		return c.fetch(ctx, info, from, length)
	}}, nil
}

func (c *Remote) fetch(ctx context.Context, info Info, from, length int64) (io.ReadCloser, error) {
	request, err := c.request(ctx, http.MethodGet, info.Name, nil, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+length-1))
	request.Header.Set("If-Match", strconv.Quote(info.ETag))
	response, err := c.send(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusPartialContent {
		response.Body.Close()
		return nil, fault.New(fault.Unavailable, "%s answered a request for a part of %q with %s", request.URL.Host, info.Name, response.Status)
	}
	return response.Body, nil
}

// Stat asks for the headers alone.
func (c *Remote) Stat(ctx context.Context, name string) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	request, err := c.request(ctx, http.MethodHead, name, nil, nil)
	if err != nil {
		return Info{}, err
	}
	response, err := c.send(request)
	if err != nil {
		return Info{}, err
	}
	response.Body.Close()
	etag, err := strconv.Unquote(response.Header.Get("ETag"))
	nanos, err2 := strconv.ParseInt(response.Header.Get("Liuyun-Modified"), 10, 64)
	if err := errors.Join(err, err2); err != nil || response.ContentLength < 0 {
		return Info{}, fault.Wrap(err, fault.Unavailable, "%s does not answer as a store of objects", request.URL.Host)
	}
	return Info{Name: name, Size: response.ContentLength, Modified: time.Unix(0, nanos).UTC(), ETag: etag}, nil
}

// maxLine is the longest line of a list.
const maxLine = 8 << 10

// List reads the lines as they come.
func (c *Remote) List(ctx context.Context, prefix string, fn func(Info) error) error {
	if prefix != "" {
		if err := CheckPrefix(prefix); err != nil {
			return err
		}
	}
	request, err := c.request(ctx, http.MethodGet, "", url.Values{"list": {prefix}}, nil)
	if err != nil {
		return err
	}
	response, err := c.send(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var line listLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fault.Wrap(err, fault.Unavailable, "%s sent a list that cannot be read", request.URL.Host)
		}
		switch {
		case line.Error != nil:
			return fault.New(line.Error.Code, "%s", line.Error.Message)
		case line.End:
			return nil
		case CheckName(line.Name) != nil || !strings.HasPrefix(line.Name, prefix):
			return fault.New(fault.Unavailable, "%s sent a list with a name that cannot be", request.URL.Host)
		}
		if err := fn(line.Info); err != nil {
			return err
		}
	}
	return fault.Wrap(lines.Err(), fault.Unavailable, "the list from %s broke off", request.URL.Host)
}

// Delete removes an object.
func (c *Remote) Delete(ctx context.Context, name string) error {
	return c.simple(ctx, http.MethodDelete, CheckName(name), name, nil, nil)
}

// DeleteAll removes all below prefix.
func (c *Remote) DeleteAll(ctx context.Context, prefix string) error {
	return c.simple(ctx, http.MethodDelete, CheckPrefix(prefix), prefix, nil, nil)
}

// Append sends r as one request. When the answer is lost, Appended says what arrived.
func (c *Remote) Append(ctx context.Context, name string, offset int64, r io.Reader) (written int64, err error) {
	if err := CheckName(name); err != nil {
		return 0, err
	}
	body := &firstError{r: r}
	request, err := c.request(ctx, http.MethodPost, name, url.Values{"append": {strconv.FormatInt(offset, 10)}}, body)
	if err != nil {
		return 0, err
	}
	var answer appendAnswer
	if err := c.do(request, &answer); err != nil {
		return c.afterBreak(ctx, name, offset, errors.Join(body.err, err))
	}
	if answer.Error != nil {
		return answer.Written, fault.New(answer.Error.Code, "%s", answer.Error.Message)
	}
	return answer.Written, nil
}

// afterBreak finds out what of an Append has arrived that ended with err.
func (c *Remote) afterBreak(ctx context.Context, name string, offset int64, err error) (int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	have, sizeErr := c.Appended(ctx, name)
	if sizeErr != nil || have < offset {
		return 0, err
	}
	return have - offset, err
}

// firstError remembers how r failed.
type firstError struct {
	r   io.Reader
	err error
}

func (f *firstError) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// Appended asks what is gathered.
func (c *Remote) Appended(ctx context.Context, name string) (int64, error) {
	var answer sizeAnswer
	err := c.simple(ctx, http.MethodGet, CheckName(name), name, url.Values{"append": {""}}, &answer)
	return answer.Size, err
}

// Seal gives what is gathered its name.
func (c *Remote) Seal(ctx context.Context, name string, size int64) (info Info, err error) {
	err = c.simple(ctx, http.MethodPost, CheckName(name), name, url.Values{"seal": {strconv.FormatInt(size, 10)}}, &info)
	return info, err
}

// Abort drops what is gathered.
func (c *Remote) Abort(ctx context.Context, name string) error {
	return c.simple(ctx, http.MethodDelete, CheckName(name), name, url.Values{"append": {""}}, nil)
}

// simple makes a request without a body, unless the name is bad.
func (c *Remote) simple(ctx context.Context, method string, nameErr error, name string, query url.Values, answer any) error {
	if nameErr != nil {
		return nameErr
	}
	request, err := c.request(ctx, method, name, query, nil)
	if err != nil {
		return err
	}
	return c.do(request, answer)
}

func (c *Remote) request(ctx context.Context, method, name string, query url.Values, body io.Reader) (*http.Request, error) {
	address := c.base + (&url.URL{Path: "/" + name, RawQuery: query.Encode()}).String()
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("ask for %q: %w", name, err)
	}
	return request, nil
}

// do sends a request and reads its JSON answer, which may be nil.
func (c *Remote) do(request *http.Request, answer any) error {
	response, err := c.send(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxLine))
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the answer of %s cannot be read", request.URL.Host)
	}
	return nil
}

// send returns the response when its status is good, else the fault that it tells.
func (c *Remote) send(request *http.Request) (*http.Response, error) {
	response, err := c.client.Do(request)
	if err != nil {
		if cause := context.Cause(request.Context()); cause != nil {
			return nil, cause
		}
		return nil, fault.Wrap(err, fault.Unavailable, "the node at %s, which keeps the objects, does not answer", request.URL.Host)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound && request.Method == http.MethodHead {
		name := strings.TrimPrefix(request.URL.Path, "/")
		return nil, notFound(name)
	}
	if response.StatusCode == http.StatusPreconditionFailed {
		return nil, fault.New(fault.Conflict, "%q was replaced while it was read", strings.TrimPrefix(request.URL.Path, "/"))
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxLine))
	var answer errorAnswer
	if json.Unmarshal(bytes.TrimSpace(text), &answer) != nil || answer.Code == "" {
		return nil, fault.New(fault.Unavailable, "%s answered %s", request.URL.Host, response.Status)
	}
	return nil, fault.New(answer.Code, "%s", answer.Message)
}
