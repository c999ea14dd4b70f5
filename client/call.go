package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	largestAnswer = 32 << 20 // bounds what is read of an answer; a full page of assets has about 1 MB
	firstPause    = 200 * time.Millisecond
	longestPause  = 20 * time.Second
)

// call is one call of the API.
type call struct {
	method string
	path   string // below the base, escaped
	query  url.Values
	rev    int64 // what If-Match asks for; 0 asks for nothing
	in     any   // sent as JSON; nil sends raw
	raw    []byte
	kind   string // media type of raw
	out    any    // where the answer goes; nil drops it

	tus    bool         // a request of the upload protocol
	header http.Header  // sent besides
	answer *http.Header // where the answer's header goes
}

// do makes the call and repeats it while that helps and does no harm.
func (c *Client) do(ctx context.Context, k call) error {
	if k.in != nil {
		var err error
		if k.raw, err = json.Marshal(k.in); err != nil {
			return fmt.Errorf("client: encode request: %w", err)
		}
		k.kind = "application/json"
	}
	token := ""
	if k.method == http.MethodPost && !k.tus { // net/http, too, repeats what has a token
		token = newToken()
	}
	unsure := false // whether an earlier try may have been done
	for try := 1; ; try++ {
		err := c.try(ctx, k, token)
		if err == nil || (k.method == http.MethodDelete && unsure && CodeOf(err) == NotFound) {
			return nil
		}
		again, mayBeDone := repeat(err, k.method)
		if k.tus && k.method == http.MethodPost && mayBeDone {
			again = false // the upload protocol knows no token: there might be two
		}
		if k.method == http.MethodPut && k.rev != 0 && mayBeDone {
			again = false // if it was done, its own revision would be in its way
		}
		if !again || try >= c.options.Tries || ctx.Err() != nil {
			return err
		}
		unsure = unsure || mayBeDone
		if !sleep(ctx, pause(try, err)) {
			return err
		}
	}
}

// try makes the call once.
func (c *Client) try(ctx context.Context, k call, token string) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	request, err := c.request(ctx, k.method, k.path, k.query, bytes.NewReader(k.raw))
	if err != nil {
		return err
	}
	if k.kind != "" {
		request.Header.Set("Content-Type", k.kind)
	}
	if k.tus {
		request.Header.Set("Tus-Resumable", tusVersion)
	}
	for name, values := range k.header {
		request.Header[name] = values
	}
	if token != "" {
		request.Header.Set("Idempotency-Key", token)
	}
	if k.rev != 0 {
		request.Header.Set("If-Match", strconv.Quote(strconv.FormatInt(k.rev, 10)))
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	defer response.Body.Close()
	if k.answer != nil {
		*k.answer = response.Header
	}
	return decode(response, k.out)
}

// request returns a request with everything that each call has.
func (c *Client) request(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	address := c.base.String() + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.options.Tenant != "" {
		request.Header.Set("Liuyun-Tenant", c.options.Tenant)
	}
	if c.options.UserAgent != "" {
		request.Header.Set("User-Agent", c.options.UserAgent)
	}
	return request, nil
}

// decode reads an answer into out.
func decode(response *http.Response, out any) error {
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return errorOf(response)
	}
	if out == nil || response.StatusCode == http.StatusNoContent {
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, largestProblem)) // so that the connection is kept
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, largestAnswer+1))
	if err != nil {
		return fmt.Errorf("client: read answer: %w", err)
	}
	if len(body) > largestAnswer {
		return fmt.Errorf("client: the answer is longer than %d bytes", largestAnswer)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return &notOurs{err}
	}
	return nil
}

// notOurs is an answer that says success and is none of this API.
type notOurs struct{ cause error }

func (e *notOurs) Error() string {
	return "client: the answer is not one of a Liuyun cloud: " + e.cause.Error()
}
func (e *notOurs) Unwrap() error { return e.cause }

// repeat reports whether a call that ended with err should be made again, and
// whether the server may have done it nevertheless. POST calls carry a token by
// which the server knows them again; PATCH calls do not.
func repeat(err error, method string) (again, mayBeDone bool) {
	var answer *Error
	if errors.As(err, &answer) {
		switch answer.Status {
		case http.StatusTooManyRequests:
			return true, false
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return method != http.MethodPatch, true
		}
		return false, false
	}
	var bad *notOurs
	if errors.As(err, &bad) {
		return false, false
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return true, false
	}
	return method != http.MethodPatch, true
}

// pause is how long to wait after the n-th try: what the server asks for, or
// twice as long each time, with jitter so that many clients do not come at once.
func pause(try int, err error) time.Duration {
	var answer *Error
	if errors.As(err, &answer) && answer.retryAfter > 0 {
		return min(answer.retryAfter, longestPause)
	}
	longest := min(longestPause, firstPause<<min(try-1, 10))
	return longest/2 + rand.N(longest/2)
}

// sleep waits and reports whether it could: not when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.do(ctx, call{method: http.MethodGet, path: path, query: query, out: out})
}

func (c *Client) post(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, call{method: http.MethodPost, path: path, in: in, out: out})
}

func (c *Client) delete(ctx context.Context, path string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: path})
}

// at escapes the name of a thing for a path.
func at(collection, name string) string { return collection + "/" + url.PathEscape(name) }
