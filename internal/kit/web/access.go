package web

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
)

// SessionCookie is the cookie of somebody who signed in to the console. A request
// that is allowed by it alone must show that it comes from the console itself.
const SessionCookie = "liuyun_session"

// SameSiteHeader has the value 1 in every unsafe request of the console. Other
// sites cannot make a browser send it.
const SameSiteHeader = "X-Liuyun"

// access checks who asks before an operation runs.
func (a *API) access(op Op, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.checkOrigin(r); err != nil {
			Problem(w, r, err)
			return
		}
		if op.Public {
			next.ServeHTTP(w, r)
			return
		}
		principal, err := a.options.Authenticate(r)
		if fault.CodeOf(err) == fault.Forbidden {
			w.Header().Set("WWW-Authenticate", `Bearer realm="liuyun"`)
			err = WithStatus(http.StatusUnauthorized, err)
		}
		if err != nil {
			Problem(w, r, err)
			return
		}
		exchangeOf(r.Context()).principal = principal
		if !principal.Allows(op.Scope) {
			Problem(w, r, fault.New(fault.Forbidden, "the key %q lacks the scope %s; use one that has it", principal.Name, op.Scope))
			return
		}
		next.ServeHTTP(w, r.WithContext(guard.With(r.Context(), principal)))
	})
}

// checkOrigin refuses what another site makes a browser send. A request with an
// Authorization header is not made by a browser on its own, so it may come from
// anywhere.
func (a *API) checkOrigin(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if r.Header.Get("Authorization") != "" {
		return nil
	}
	if err := a.origin.Check(r); err != nil {
		return fault.Wrap(err, fault.Forbidden, "this request was made by another site; send it from the console, or with a key in the Authorization header")
	}
	_, err := r.Cookie(SessionCookie)
	if err == nil && r.Header.Get(SameSiteHeader) != "1" {
		return fault.New(fault.Forbidden, "a request that changes something and is allowed by a cookie needs the header %s: 1", SameSiteHeader)
	}
	return nil
}

// bodyTime is how long a client may take to send the body of an operation that is
// not raw.
const bodyTime = 30 * time.Second

// readBody reads the whole body into memory, at most MaxBody bytes, so that what
// follows cannot fail on it.
func readBody(op Op, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		deadline := http.NewResponseController(w)
		deadline.SetReadDeadline(time.Now().Add(bodyTime)) // not supported in tests without a connection
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, op.MaxBody))
		if err != nil {
			Problem(w, r, bodyFault(err))
			return
		}
		deadline.SetReadDeadline(time.Time{})
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func bodyFault(err error) error {
	var tooLarge *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &tooLarge):
		return err
	case errors.As(err, &network) && network.Timeout():
		return WithStatus(http.StatusRequestTimeout, fault.New(fault.Limit, "the body did not arrive within %s; send it again", bodyTime))
	default:
		return fault.Wrap(err, fault.Invalid, "the body ended before it was whole; send it again")
	}
}
