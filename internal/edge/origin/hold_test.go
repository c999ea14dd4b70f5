package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// turns answers one question after the other; the last answer holds.
type turns struct {
	asked   int
	answers []error // nil is a playlist
	after   time.Duration
}

func (s *turns) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked++
	err := s.answers[min(s.asked, len(s.answers))-1]
	select {
	case <-time.After(s.after):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	io.WriteString(w, "#EXTM3U")
	return w.Result(), nil
}

func TestHold(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	also := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".m4s") }
	const reload = "https://o.example/media.m3u8?_HLS_msn=5&_HLS_part=1"
	for _, test := range []struct {
		name, method, url string
		answers           []error
		status, asked     int // 0: an error
		took              time.Duration
	}{
		{"an answer", "GET", reload, []error{nil}, 200, 1, 0},
		{"one who comes back", "GET", reload, []error{refused, refused, nil}, 200, 3, 2 * holdAgain},
		{"one who stays away", "GET", reload, []error{refused}, 503, 21, holdFor},
		{"one who was silent", "GET", reload, []error{&lateError{"o", time.Minute}}, 0, 1, 0},
		{"a part, until it is there", "GET", "https://o.example/5.1.m4s", []error{refused, nil}, 200, 2, holdAgain},
		{"a part in vain", "GET", "https://o.example/5.1.m4s", []error{refused}, 0, 21, holdFor},
		{"another address", "GET", "https://o.example/media.m3u8", []error{refused}, 0, 1, 0},
		{"what changes something", "POST", reload, []error{refused}, 0, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				next := &turns{answers: test.answers}
				began := time.Now()
				in, err := Hold{next, also, make(chan struct{}, 1)}.RoundTrip(httptest.NewRequest(test.method, test.url, nil))
				status := 0
				if err == nil {
					status = in.StatusCode
					body, _ := io.ReadAll(in.Body)
					if status == 503 && (string(body) != holdSays || in.ContentLength != int64(len(body)) || in.Header.Get("Retry-After") == "") {
						t.Errorf("%d bytes %q, %v", in.ContentLength, body, in.Header)
					}
				}
				if took := time.Since(began); status != test.status || next.asked != test.asked || took != test.took {
					t.Errorf("status %d (%v), asked %d times in %v; want %d, %d, %v", status, err, next.asked, took, test.status, test.asked, test.took)
				}
			})
		})
	}
}

// Who leaves waits no longer.
func TestHoldEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		r := httptest.NewRequest("GET", "https://o.example/media.m3u8?_HLS_msn=5", nil).WithContext(ctx)
		_, err := Hold{Next: &turns{answers: []error{errors.New("refused")}}}.RoundTrip(r)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// Where as many wait as may, the next one is told at once, and room is given back.
func TestHoldIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := Hold{Next: &turns{answers: []error{errors.New("refused")}}, Held: make(chan struct{}, 1)}
		h.Held <- struct{}{}
		ask := func() (took time.Duration) {
			began := time.Now()
			in, err := h.RoundTrip(httptest.NewRequest("GET", "https://o.example/media.m3u8?_HLS_msn=5", nil))
			if err != nil || in.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("got %v, %v", in, err)
			}
			return time.Since(began)
		}
		if took := ask(); took != 0 {
			t.Errorf("without room: told after %v", took)
		}
		<-h.Held
		for range 2 {
			if took := ask(); took != holdFor {
				t.Errorf("with room: told after %v", took)
			}
		}
	})
}
