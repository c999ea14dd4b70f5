package origin

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// question is a request while it is asked, of one target after the other.
type question struct {
	*http.Request
	began      time.Time
	repeatable bool    // it may be asked twice
	polls      bool    // it waits on purpose
	body       *upload // nil for none
	key        uint64  // where shields are chosen by it
	above      uint64  // and what they have to draw more than
	tried      []*target
	room       [mostTries]*target
}

func newQuestion(r *http.Request) *question {
	q := &question{Request: r, began: time.Now(), repeatable: repeatable(r), polls: polls(r.URL.RawQuery)}
	if r.Body != nil && r.Body != http.NoBody {
		q.body = &upload{body: r.Body}
	}
	q.tried = q.room[:0]
	return q
}

// repeatable reports whether a request is safe (RFC 9110, section 9.2.1) and can be sent
// again.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return (r.Body == nil || r.Body == http.NoBody) && r.Header["Upgrade"] == nil
	}
	return false
}

// hedgeable reports whether a second try may be sent while a first one is not answered.
func (q *question) hedgeable() bool {
	return q.repeatable && !q.polls && (q.Method == http.MethodGet || q.Method == "")
}

// detach has the question keep what it reads of the caller's request, which a try that has
// lost may do after the caller has its request back.
func (q *question) detach() {
	r, u := q.Request.WithContext(q.Request.Context()), *q.URL
	r.URL, r.Header = &u, q.Header.Clone()
	q.Request = r
}

func (q *question) has(t *target) bool { return slices.Contains(q.tried, t) }

// polls reports whether a request is a blocking reload of a playlist (RFC 8216bis,
// section 6.2.5.2), whose answer comes when there is something new.
func polls(query string) bool {
	for parameter := range strings.SplitSeq(query, "&") {
		if begins(parameter, "_HLS_msn=") {
			return true
		}
	}
	return false
}

// begins reports whether s begins with a prefix, when both are decoded.
func begins(s, prefix string) bool {
	for i := range len(prefix) {
		switch {
		case s == "":
			return false
		case s[0] == prefix[i]:
			s = s[1:]
		case len(s) >= 3 && s[0] == '%' && hex(s[1])<<4|hex(s[2]) == int(prefix[i]):
			s = s[3:]
		default:
			return false
		}
	}
	return true
}

// hex is the value of a digit; of what is none, one that no byte of a name comes of.
func hex(digit byte) int {
	switch {
	case '0' <= digit && digit <= '9':
		return int(digit - '0')
	case 'a' <= digit && digit <= 'f':
		return int(digit-'a') + 10
	case 'A' <= digit && digit <= 'F':
		return int(digit-'A') + 10
	}
	return 1 << 8
}

// undialled reports whether a request has failed before anything of it was sent.
func undialled(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial"
}

// upload is the body of a request. A transport closes it when it cannot dial; then it is
// still whole and may be sent to somebody else, so that closing it waits until that is
// decided.
type upload struct {
	body io.ReadCloser

	mu      sync.Mutex
	read    bool
	decided bool
	asked   bool // to be closed
	closed  bool
	broken  bool // its sender has not sent all of it
}

// Read reads what is sent.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	u.read = true
	u.mu.Unlock()
	n, err := u.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		u.mu.Lock()
		u.broken = true
		u.mu.Unlock()
	}
	return n, err
}

// Close closes it, once it is decided that it is sent to nobody else.
func (u *upload) Close() error {
	u.mu.Lock()
	u.asked = true
	u.mu.Unlock()
	return u.close()
}

func (u *upload) close() error {
	u.mu.Lock()
	due := u.asked && (u.read || u.decided) && !u.closed
	u.closed = u.closed || due
	u.mu.Unlock()
	if !due {
		return nil
	}
	return u.body.Close()
}

// decide says that it is sent to nobody else. After a failure it is closed.
func (u *upload) decide(err error) {
	if u == nil {
		return
	}
	u.mu.Lock()
	u.decided = true
	u.asked = u.asked || err != nil
	u.mu.Unlock()
	_ = u.close() // it was only read
}

func (u *upload) whole() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.read
}

// faulty reports whether it is the sender's fault that a request has failed.
func (u *upload) faulty() bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.broken
}
