package api

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A request that is sent again with its Idempotency-Key is carried out once, also
// at the same time, and is nobody else's.
func TestIdempotency(t *testing.T) {
	c := start(t)
	admin := c.as(c.Key)
	key := header{"Idempotency-Key", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}
	first := admin.ask(t, http.StatusCreated, "POST", "/v1/keys", `{"name":"k","scopes":["assets:read"]}`, key)
	again := admin.ask(t, http.StatusCreated, "POST", "/v1/keys", `{"name":"k","scopes":["assets:read"]}`, key)
	if string(again.body) != string(first.body) || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the second answer is\n%s, the first was\n%s", again.body, first.body)
	}
	admin.ask(t, http.StatusUnprocessableEntity, "POST", "/v1/keys", `{"name":"l","scopes":["assets:read"]}`, key)
	admin.ask(t, http.StatusBadRequest, "POST", "/v1/keys", `{"name":"k","scopes":["assets:read"]}`, header{"Idempotency-Key", strings.Repeat("k", 256)})
	other := &tenant{id: admin.ask(t, http.StatusCreated, "POST", "/v1/tenants", `{"name":"B"}`).text("id"), cloud: c}
	b := c.as(other.newKey(t, scopes()...))
	if theirs := b.ask(t, http.StatusCreated, "POST", "/v1/keys", `{"name":"k","scopes":["assets:read"]}`, key); theirs.text("secret") == first.text("secret") {
		t.Error("another tenant was given the answer")
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r := admin.request(t, "POST", "/v1/assets", `{"name":"once"}`, header{"Idempotency-Key", "at once"})
			response, err := direct().Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
			if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusConflict {
				t.Errorf("at once: status %d", response.StatusCode)
			}
		})
	}
	all.Wait()
	if made := admin.ask(t, http.StatusOK, "GET", "/v1/assets", nil).ids(t); len(made) != 1 {
		t.Errorf("%d assets were made, want 1", len(made))
	}
}

// The ETag of a thing is the one that If-Match wants, and nothing changes when it
// is an old one.
func TestMatch(t *testing.T) {
	c := start(t)
	admin := c.as(c.Key)
	for path, body := range map[string]string{"/v1/assets": `{"name":"a"}`, "/v1/tenants": `{"name":"a"}`, "/v1/webhooks": `{"url":"http://receiver.invalid:9/"}`} {
		change := strings.Replace(body, ":9/", ":8/", 1)
		made := admin.ask(t, http.StatusCreated, "POST", path, body)
		one, tag := path+"/"+made.text("id"), made.header.Get("ETag")
		if got := admin.ask(t, http.StatusOK, "GET", one, nil).header.Get("ETag"); got != tag || tag == "" {
			t.Errorf("%s: made with ETag %s, read with %s", path, tag, got)
		}
		changed := admin.ask(t, http.StatusOK, "PATCH", one, change, header{"If-Match", tag})
		if changed.header.Get("ETag") == tag {
			t.Errorf("%s: a change leaves the ETag %s", path, tag)
		}
		refused := admin.ask(t, http.StatusPreconditionFailed, "PATCH", one, change, header{"If-Match", tag})
		if refused.text("code") != "conflict" || !strings.Contains(refused.text("detail"), "read it again") {
			t.Errorf("%s: an old ETag is refused with %s", path, refused.body)
		}
		admin.ask(t, http.StatusPreconditionFailed, "DELETE", one, nil, header{"If-Match", tag})
		admin.ask(t, http.StatusNoContent, "DELETE", one, nil, header{"If-Match", changed.header.Get("ETag")})
	}
}

// Pages show everything once, newest first, whatever is added in between.
func TestPages(t *testing.T) {
	c := start(t)
	admin := c.as(c.Key)
	var made []string
	for i := range 7 {
		made = append(made, admin.ask(t, http.StatusCreated, "POST", "/v1/assets", fmt.Sprintf(`{"name":"%d"}`, i)).text("id"))
	}
	slices.Reverse(made)
	var seen []string
	for after, pages := "", 0; pages == 0 || after != ""; pages++ {
		page := admin.ask(t, http.StatusOK, "GET", "/v1/assets?limit=3&after="+after, nil)
		seen, after = append(seen, page.ids(t)...), page.text("next")
		admin.ask(t, http.StatusCreated, "POST", "/v1/assets", `{"name":"later"}`)
		if pages > 3 {
			t.Fatalf("pages do not end: %v", seen)
		}
	}
	if !slices.Equal(seen, made) {
		t.Errorf("pages show\n%v, want\n%v", seen, made)
	}
	if empty := admin.ask(t, http.StatusOK, "GET", "/v1/assets?after=0", nil); string(empty.body) != `{"data":[],"next":""}`+"\n" {
		t.Errorf("after the last there is %s", empty.body)
	}
}

// What a request must not be is refused with the status for it, and a sentence that
// names the place.
func TestRefusals(t *testing.T) {
	c := start(t)
	admin := c.as(c.Key)
	plain := header{"Content-Type", "text/plain"}
	for _, test := range []struct {
		status       int
		method, path string
		body         any
		headers      []header
		code, words  string
	}{
		{404, "GET", "/v1/nothing", nil, nil, "not_found", "/docs"},
		{405, "PUT", "/v1/assets", `{}`, nil, "invalid", "GET"},
		{400, "POST", "/v1/assets", `{"name":`, nil, "invalid", ""},
		{415, "POST", "/v1/assets", `{}`, []header{plain}, "invalid", ""},
		{413, "POST", "/v1/assets", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, nil, "limit", "1048576"},
		{413, "PUT", "/v1/assets/ast_x/subtitles/en", strings.Repeat("x", 8<<20+1), nil, "", "8 MiB"},
		{422, "POST", "/v1/assets", `{"name":1}`, nil, "invalid", "body.name"},
		{422, "POST", "/v1/assets", `{"nmae":"x"}`, nil, "invalid", "body.nmae"},
		{422, "POST", "/v1/assets", `{"name":"` + strings.Repeat("x", 501) + `"}`, nil, "invalid", "body.name"},
		{400, "POST", "/v1/assets", `{"options":{"ladder":"everything"}}`, nil, "invalid", "ladder"},
		{400, "POST", "/v1/assets", `{"options":{"prefer":"luck"}}`, nil, "invalid", "cost"},
		{422, "GET", "/v1/assets?limit=201", nil, nil, "invalid", "query.limit"},
		{422, "GET", "/v1/assets?lmit=1", nil, nil, "invalid", "query.lmit"},
		{400, "POST", "/v1/assets", `{"url":"http://user:password@example.com/x.mp4"}`, nil, "invalid", "password"},
		{422, "GET", "/v1/assets/" + strings.Repeat("x", 65), nil, nil, "invalid", "path.id"},
		{404, "GET", "/v1/assets/ast_%27%22%3B--", nil, nil, "not_found", ""},
		{400, "GET", "/v1/assets/ast_%00", nil, nil, "invalid", "zero byte"},
	} {
		got := send(t, admin.request(t, test.method, test.path, test.body, test.headers...))
		switch {
		case got.status != test.status || got.header.Get("Content-Type") != "application/problem+json":
			t.Errorf("%s %.60s: status %d, want %d\n%.300s", test.method, test.path, got.status, test.status, got.body)
		case test.code != "" && got.text("code") != test.code || !strings.Contains(got.text("detail"), test.words):
			t.Errorf("%s %.60s: %.300s; want code %s and %q", test.method, test.path, got.body, test.code, test.words)
		case got.header.Get("X-Request-Id") == "":
			t.Errorf("%s %.60s: no X-Request-Id", test.method, test.path)
		}
	}
}

// A client that says it sends a body, and does not, is not waited for for ever,
// whoever it is and whatever it asks for.
func TestSlowBody(t *testing.T) {
	c := start(t)
	address := strings.TrimPrefix(c.URL, "http://")
	var all sync.WaitGroup
	for _, line := range []string{
		"POST /v1/session", "POST /v1/assets", "PUT /v1/assets/ast_x/source", "GET /v1/openapi.json", "GET /play/x/y", "POST /console/", "GET /healthz",
	} {
		all.Go(func() {
			connection, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			defer connection.Close()
			fmt.Fprintf(connection, "%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", line)
			connection.SetReadDeadline(time.Now().Add(patience))
			in := bufio.NewReader(connection)
			for err == nil {
				_, err = in.ReadByte()
			}
			if n, ok := err.(net.Error); ok && n.Timeout() {
				t.Errorf("%s: the server still waits after %s", line, patience)
			}
		})
	}
	all.Wait()
}
