package hls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
)

// HTTP fetches with a client. Which addresses it calls is for its transport to say.
func HTTP(client *http.Client) Fetch {
	return func(ctx context.Context, address string, part hls.SourceRange) (io.ReadCloser, string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, "", fault.Wrap(err, fault.Invalid, "%q is no address", name(address))
		}
		request.Header.Set("User-Agent", "liuyun")
		if part.Length > 0 {
			request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", part.Offset, part.Offset+part.Length-1))
		}
		response, err := client.Do(request)
		if err != nil {
			var whole *url.Error
			if errors.As(err, &whole) {
				err = whole.Err // without the address, whose query may be a secret
			}
			if fault.CodeOf(err) == fault.Forbidden {
				return nil, "", fault.Wrap(err, fault.Forbidden, "%s may not be called: it is inside a private network", name(address))
			}
			return nil, "", fault.Wrap(err, fault.Unavailable, "%s does not answer", name(address))
		}
		if err := Answered(response, name(address)); err != nil {
			response.Body.Close()
			return nil, "", err
		}
		body := response.Body
		if part.Length > 0 && response.StatusCode != http.StatusPartialContent {
			// It does not know ranges: what is before is read past.
			if _, err := io.CopyN(io.Discard, body, part.Offset); err != nil {
				body.Close()
				return nil, "", fault.Wrap(err, fault.Unavailable, "%s did not come as a whole", name(address))
			}
			body = &limited{io.LimitReader(body, part.Length), body}
		}
		return body, response.Request.URL.String(), nil
	}
}

// Answered is the fault that the status of an answer stands for, nil where there is
// content.
func Answered(response *http.Response, what string) error {
	switch status := response.StatusCode; {
	case status == http.StatusOK || status == http.StatusPartialContent:
		return nil
	case status == http.StatusNotFound || status == http.StatusGone:
		return fault.New(fault.NotFound, "%s is not there (%d)", what, status)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fault.New(fault.Forbidden, "%s lets nobody in without a password, or with this one (%d)", what, status)
	default:
		return fault.New(fault.Unavailable, "%s answers with %d", what, status)
	}
}

type limited struct {
	io.Reader
	io.Closer
}
