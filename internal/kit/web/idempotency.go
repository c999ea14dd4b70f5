package web

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
)

// Idempotency keeps answers, so that a request that is sent again is answered
// again and not carried out again. Keys are 64 hexadecimal digits, unique within
// their tenant; answers are sealed, at most 1.5 MiB, and kept for 24 hours.
type Idempotency interface {
	// Claim gives the key to the caller, who must Keep or Release it, and returns
	// nil; or it returns the answer that is kept under it. It is fault.Conflict while
	// another request has the key. A claim that was neither kept nor released within
	// five minutes is void.
	Claim(ctx context.Context, tenant, key string) (answer []byte, err error)
	Keep(ctx context.Context, tenant, key string, answer []byte) error
	Release(ctx context.Context, tenant, key string) error
}

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	maxKept           = 1 << 20         // bytes of an answer's body
	keepTime          = 5 * time.Second // to keep or release, after the client may have gone
)

// kept is an answer as it is sealed.
type kept struct {
	Request [sha256.Size]byte `json:"request"` // what was asked, hashed
	Status  int               `json:"status"`
	Header  http.Header       `json:"header"`
	Body    []byte            `json:"body"`
}

// repeatable reports whether an operation looks at the Idempotency-Key.
func (a *API) repeatable(op Op) bool {
	return op.Method == http.MethodPost && !op.Public && a.options.Idempotency != nil
}

// once carries out a POST with an Idempotency-Key once: whoever sends it again
// gets the first answer.
func (a *API) once(op Op, next http.Handler) http.Handler {
	if !a.repeatable(op) {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(idempotencyHeader) == "" {
			next.ServeHTTP(w, r)
			return
		}
		principal, _ := guard.From(r.Context())
		c, err := a.newClaim(principal.Tenant, r)
		if err != nil {
			Problem(w, r, err)
			return
		}
		sealed, err := a.options.Idempotency.Claim(r.Context(), c.tenant, c.key)
		if err != nil {
			Problem(w, r, err)
			return
		}
		if sealed != nil {
			c.replay(w, r, sealed)
			return
		}
		c.answer(w, r, next)
	})
}

// claim is a request that holds an Idempotency-Key.
type claim struct {
	api         *API
	tenant, key string
	request     [sha256.Size]byte
	sealer      cipher.AEAD
}

// newClaim reads the key and hashes the request. The answer is sealed with the
// credential, because it may hold a secret that nobody else may keep.
func (a *API) newClaim(tenant string, r *http.Request) (*claim, error) {
	given := r.Header.Get(idempotencyHeader)
	if len(given) > 255 {
		return nil, fault.New(fault.Invalid, "the %s is longer than 255 characters; a random UUID will do", idempotencyHeader)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bodyFault(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	head := r.Method + " " + r.URL.RequestURI() + "\n"
	key := sha256.Sum256([]byte(r.URL.Path + "\n" + given))
	credential := r.Header.Get("Authorization")
	if cookie, err := r.Cookie(SessionCookie); credential == "" && err == nil {
		credential = cookie.Value
	}
	secret, err := hkdf.Key(sha256.New, []byte(credential), key[:], "liuyun idempotency", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	sealer, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &claim{a, tenant, hex.EncodeToString(key[:]), sha256.Sum256(append([]byte(head), body...)), sealer}, nil
}

// replay answers with what was kept.
func (c *claim) replay(w http.ResponseWriter, r *http.Request, sealed []byte) {
	var first kept
	text, err := c.sealer.Open(nil, nil, sealed, []byte(c.key))
	if err == nil {
		err = json.Unmarshal(text, &first)
	}
	if err != nil {
		Problem(w, r, fault.Wrap(err, fault.Conflict, "this %s was used by another key or session; use a new one", idempotencyHeader))
		return
	}
	if first.Request != c.request {
		Problem(w, r, WithStatus(http.StatusUnprocessableEntity, fault.New(fault.Invalid,
			"this %s was used for another request; use a new one for each", idempotencyHeader)))
		return
	}
	for name, values := range first.Header {
		w.Header()[name] = values
	}
	w.Header().Set(replayedHeader, "true")
	w.WriteHeader(first.Status)
	w.Write(first.Body)
}

// answer runs the operation and keeps what it answers before the client sees it.
func (c *claim) answer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	settled := false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Hour)
	defer cancel()
	defer func() {
		if !settled { // a panic, or an answer that is not to be kept
			c.settle(ctx, nil)
		}
	}()
	answer := &held{header: http.Header{}, status: http.StatusOK}
	next.ServeHTTP(answer, r)
	if answer.final() && answer.body.Len() <= maxKept {
		text, err := json.Marshal(kept{c.request, answer.status, answer.header, answer.body.Bytes()})
		if err == nil {
			settled = c.settle(ctx, c.sealer.Seal(nil, nil, text, []byte(c.key)))
		}
	}
	for name, values := range answer.header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.status)
	w.Write(answer.body.Bytes())
}

// settle keeps the answer, or releases the key when there is none, though the
// client may have gone.
func (c *claim) settle(ctx context.Context, sealed []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	var err error
	if sealed == nil {
		err = c.api.options.Idempotency.Release(ctx, c.tenant, c.key)
	} else {
		err = c.api.options.Idempotency.Keep(ctx, c.tenant, c.key, sealed)
	}
	if err != nil {
		c.api.options.Log.Warn("the answer to a request with an Idempotency-Key was not kept; sent again, it is carried out again", "error", err)
	}
	return err == nil
}

// held is an answer that is not sent yet.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header, WriteHeader and Write make it an http.ResponseWriter.
func (h *held) Header() http.Header         { return h.header }
func (h *held) WriteHeader(status int)      { h.status = status }
func (h *held) Write(p []byte) (int, error) { return h.body.Write(p) }

// final reports whether the same request would get the same answer again. What
// may be other the next time is not kept.
func (h *held) final() bool {
	switch h.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return h.status < 500
}
