package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit"
	"liuyun/test/program"
)

// driver asks, holds each exchange to the document, and remembers what was asked.
type driver struct {
	*caller
	answered, refused map[string]bool // by operation
}

// call sends a request that is answered with status.
func (d *driver) call(t *testing.T, status int, method, path string, body any, headers ...header) answer {
	t.Helper()
	r := d.request(t, method, path, body, headers...)
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			t.Fatal(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	a := send(t, r)
	if a.status != status {
		t.Fatalf("%s %s: status %d, want %d\n%.500s", method, path, a.status, status, a.body)
	}
	d.note(t, a, sent)
	return a
}

// note holds an exchange to the document.
func (d *driver) note(t *testing.T, a answer, sent []byte) {
	t.Helper()
	op, known := d.cloud.document.operationOf(a.request.Method, a.request.URL.Path)
	if !known {
		t.Fatalf("the document knows no %s %s", a.request.Method, a.request.URL.Path)
	}
	d.cloud.document.holds(t, a, sent)
	if a.status < 300 {
		d.answered[op.ID] = true
		return
	}
	d.refused[op.ID] = true
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" && a.request.Method != http.MethodHead {
		t.Errorf("%s %s: an error of type %q", a.request.Method, a.request.URL, kind)
	}
}

// Every operation is carried out, and refused, and does what the document says.
func TestAnswers(t *testing.T) {
	c := start(t, reachable(t)...)
	d := &driver{c.as(c.Key), map[string]bool{}, map[string]bool{}}
	for _, part := range []struct {
		name string
		run  func(*driver, *testing.T)
	}{
		{"session", (*driver).session}, {"tenants", (*driver).tenants}, {"keys", (*driver).keys}, {"webhooks", (*driver).webhooks},
		{"assets", (*driver).assets}, {"streams", (*driver).streams}, {"webrtc", (*driver).webrtc}, {"sites", (*driver).sites}, {"uploads", (*driver).uploads}, {"rest", (*driver).rest}, {"nodes", (*driver).nodes},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(d, t) }) {
			return
		}
	}
	for _, op := range c.document.operations {
		if !d.answered[op.ID] {
			t.Errorf("%s was never carried out: do so in a part of this test", op.ID)
		}
		if !d.refused[op.ID] && op.ID != "get-openapi" { // which cannot be
			t.Errorf("%s was never refused: make it fail in a part of this test", op.ID)
		}
	}
}

func (d *driver) session(t *testing.T) {
	key := d.key
	defer func() { d.key = key }()
	d.key = ""
	d.call(t, http.StatusUnauthorized, "POST", "/v1/session", `{"key":"lyk_wrong"}`)
	d.call(t, http.StatusBadRequest, "POST", "/v1/session", `{"key":1}`)
	in := d.call(t, http.StatusOK, "POST", "/v1/session", `{"key":"`+key+`"}`)
	cookie, _, _ := strings.Cut(in.header.Get("Set-Cookie"), ";")
	session, own := header{"Cookie", cookie}, header{"X-Liuyun", "1"}
	d.call(t, http.StatusOK, "GET", "/v1/session", nil, session)
	d.call(t, http.StatusForbidden, "DELETE", "/v1/session", nil, session) // as another site would make a browser send it
	d.call(t, http.StatusNoContent, "DELETE", "/v1/session", nil, session, own)
	d.call(t, http.StatusUnauthorized, "GET", "/v1/session", nil, session)
	d.call(t, http.StatusUnauthorized, "DELETE", "/v1/session", nil, session, own)
}

func (d *driver) tenants(t *testing.T) {
	d.call(t, http.StatusUnprocessableEntity, "POST", "/v1/tenants", `{"name":""}`)
	made := d.call(t, http.StatusCreated, "POST", "/v1/tenants", `{"name":"Second 第二"}`)
	path := "/v1/tenants/" + made.text("id")
	d.call(t, http.StatusOK, "GET", "/v1/tenants?limit=1", nil)
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/tenants?limit=0", nil)
	d.call(t, http.StatusOK, "GET", path, nil)
	d.call(t, http.StatusNotFound, "GET", "/v1/tenants/ten_absent", nil)
	d.call(t, http.StatusOK, "PATCH", path, `{"name":"Renamed"}`, header{"If-Match", made.header.Get("ETag")})
	d.call(t, http.StatusPreconditionFailed, "PATCH", path, `{"name":"Again"}`, header{"If-Match", made.header.Get("ETag")})
	d.call(t, http.StatusPreconditionFailed, "DELETE", path, nil, header{"If-Match", `"99"`})
	d.call(t, http.StatusNoContent, "DELETE", path, nil)
}

func (d *driver) keys(t *testing.T) {
	d.call(t, http.StatusBadRequest, "POST", "/v1/keys", `{"name":"k","scopes":["no:such"]}`)
	d.call(t, http.StatusUnprocessableEntity, "POST", "/v1/keys", `{"name":"k"}`)
	made := d.call(t, http.StatusCreated, "POST", "/v1/keys", `{"name":"k","scopes":["assets:read"],"expires_at":"2099-01-02T03:04:05Z"}`)
	path := "/v1/keys/" + made.text("id")
	d.call(t, http.StatusOK, "GET", "/v1/keys", nil)
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/keys?unknown=1", nil)
	d.call(t, http.StatusOK, "GET", path, nil)
	d.call(t, http.StatusNoContent, "DELETE", path, nil)
	d.call(t, http.StatusNotFound, "GET", path, nil)
	d.call(t, http.StatusNotFound, "DELETE", path, nil)
}

func (d *driver) webhooks(t *testing.T) {
	d.call(t, http.StatusBadRequest, "POST", "/v1/webhooks", `{"url":"ftp://example.com/"}`)
	d.call(t, http.StatusBadRequest, "POST", "/v1/webhooks", `{"url":"http://127.0.0.1:9/hook"}`)
	made := d.call(t, http.StatusCreated, "POST", "/v1/webhooks", `{"url":"http://receiver.invalid:9/hook","events":["asset.ready"]}`)
	path := "/v1/webhooks/" + made.text("id")
	d.call(t, http.StatusOK, "GET", "/v1/webhooks", nil)
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/webhooks?limit=1000", nil)
	d.call(t, http.StatusOK, "GET", path, nil)
	d.call(t, http.StatusOK, "PATCH", path, `{"events":[]}`)
	d.call(t, http.StatusPreconditionFailed, "PATCH", path, `{"enabled":false}`, header{"If-Match", made.header.Get("ETag")})
	sent := d.call(t, http.StatusAccepted, "POST", path+"/test", nil)
	d.call(t, http.StatusOK, "GET", path+"/deliveries", nil)
	d.call(t, http.StatusAccepted, "POST", path+"/deliveries/"+sent.text("id")+"/resend", nil)
	d.call(t, http.StatusNotFound, "POST", path+"/deliveries/dlv_absent/resend", nil)
	d.call(t, http.StatusNoContent, "DELETE", path, nil)
	for _, gone := range [][2]string{{"GET", path}, {"DELETE", path}, {"POST", path + "/test"}, {"GET", path + "/deliveries"}} {
		d.call(t, http.StatusNotFound, gone[0], gone[1], nil)
	}
}

func (d *driver) assets(t *testing.T) {
	d.call(t, http.StatusUnprocessableEntity, "POST", "/v1/assets", `{"playback_policy":"secret"}`)
	d.call(t, http.StatusBadRequest, "POST", "/v1/assets", `{"url":"file:///etc/passwd"}`)
	path := "/v1/assets/" + d.call(t, http.StatusCreated, "POST", "/v1/assets", quick, header{"Idempotency-Key", "one"}).text("id")
	d.call(t, http.StatusConflict, "POST", path+"/playback", `{}`)
	d.call(t, http.StatusConflict, "GET", path+"/encoding", nil)
	d.call(t, http.StatusConflict, "POST", path+"/comparison", nil)
	d.call(t, http.StatusOK, "PUT", path+"/source", clip(t))
	d.call(t, http.StatusConflict, "PUT", path+"/source", clip(t))
	d.until(t, path[len("/v1/assets/"):], "ready")
	ready := d.call(t, http.StatusOK, "GET", path, nil)
	d.call(t, http.StatusNotFound, "GET", "/v1/assets/ast_absent", nil)
	d.call(t, http.StatusOK, "GET", path+"/encoding", nil)
	d.call(t, http.StatusOK, "GET", "/v1/assets?status=ready&q=clip", nil)
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/assets?status=lost", nil)
	d.call(t, http.StatusOK, "PATCH", path, `{"name":"other","playback_policy":"signed"}`, header{"If-Match", ready.header.Get("ETag")})
	d.call(t, http.StatusPreconditionFailed, "PATCH", path, `{"name":"more"}`, header{"If-Match", ready.header.Get("ETag")})
	d.call(t, http.StatusOK, "POST", path+"/playback", `{"expires_in":60}`)
	d.call(t, http.StatusConflict, "POST", path+"/retry", nil)
	d.comparison(t, path)
	d.subtitles(t, path)

	failing := "/v1/assets/" + d.call(t, http.StatusCreated, "POST", "/v1/assets", `{}`).text("id")
	d.call(t, http.StatusOK, "PUT", failing+"/source", []byte(strings.Repeat("no media ", 1000)))
	d.until(t, failing[len("/v1/assets/"):], "failed")
	d.call(t, http.StatusOK, "GET", failing, nil)
	d.call(t, http.StatusAccepted, "POST", failing+"/retry", nil)
	d.call(t, http.StatusPreconditionFailed, "DELETE", failing, nil, header{"If-Match", `"0"`})
	d.call(t, http.StatusNoContent, "DELETE", failing, nil)
}

// comparison has an asset compared with its source, twice.
func (d *driver) comparison(t *testing.T, path string) {
	d.call(t, http.StatusNotFound, "GET", path+"/comparison", nil)
	d.call(t, http.StatusNotFound, "DELETE", path+"/comparison", nil)
	d.call(t, http.StatusUnprocessableEntity, "POST", path+"/comparison", `{"every":-1}`)
	for _, body := range []any{`{"every":5,"frames":1}`, nil} {
		d.call(t, http.StatusAccepted, "POST", path+"/comparison", body)
		if !program.Eventually(patience, func() bool {
			return d.ask(t, http.StatusOK, "GET", path, nil).text("comparison", "status") == "ready"
		}) {
			t.Error("the comparison does not become ready")
		}
		d.call(t, http.StatusOK, "GET", path+"/comparison", nil)
	}
	d.call(t, http.StatusOK, "DELETE", path+"/comparison", nil)
}

func (d *driver) streams(t *testing.T) {
	d.call(t, http.StatusUnprocessableEntity, "POST", "/v1/streams", `{"playback_policy":"secret"}`)
	made := d.call(t, http.StatusCreated, "POST", "/v1/streams", `{"name":"Hall 大厅"}`)
	path := "/v1/streams/" + made.text("id")
	if key := made.text("ingest", "rtmp", "key"); !strings.HasPrefix(key, "lys_") {
		t.Errorf("the key is %q", key)
	}
	d.call(t, http.StatusOK, "GET", "/v1/streams?status=idle", nil)
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/streams?status=lost", nil)
	d.call(t, http.StatusOK, "GET", path, nil)
	d.call(t, http.StatusOK, "PATCH", path, `{"name":"Other","playback_policy":"signed"}`, header{"If-Match", made.header.Get("ETag")})
	d.call(t, http.StatusPreconditionFailed, "PATCH", path, `{"name":"more"}`, header{"If-Match", made.header.Get("ETag")})
	d.source(t, path)
	d.clip(t, path, made)
	d.call(t, http.StatusOK, "POST", path+"/keys?grace=60", nil)
	d.call(t, http.StatusUnprocessableEntity, "POST", path+"/keys?grace=-1", nil)
	d.call(t, http.StatusOK, "POST", path+"/playback", `{"expires_in":60}`)
	d.call(t, http.StatusUnprocessableEntity, "POST", path+"/playback", `{"expires_in":1}`)
	d.call(t, http.StatusPreconditionFailed, "DELETE", path, nil, header{"If-Match", `"0"`})
	d.call(t, http.StatusNoContent, "DELETE", path, nil)
	d.call(t, http.StatusNotFound, "GET", path, nil)
	d.call(t, http.StatusNotFound, "GET", path+"/statistics", nil)
	d.call(t, http.StatusNotFound, "POST", path+"/start", nil)
}

// source has a stream fetch something that does not answer.
func (d *driver) source(t *testing.T, path string) {
	d.call(t, http.StatusOK, "POST", path+"/stop", nil)
	d.call(t, http.StatusPreconditionFailed, "POST", path+"/start", nil, header{"If-Match", `"0"`})
	d.call(t, http.StatusOK, "POST", path+"/start", nil)
	d.call(t, http.StatusBadRequest, "PATCH", path, `{"source":{"url":"ftp://example.org/"}}`)
	d.call(t, http.StatusForbidden, "PATCH", path, `{"source":{"url":"udp://0.0.0.0:5000"}}`)
	d.call(t, http.StatusNotFound, "PATCH", path, `{"source":{"asset":"ast_00000000000000000000000000"}}`)
	d.call(t, http.StatusOK, "PATCH", path, `{"source":{"url":"http://127.0.0.1:9/live.ts"}}`)
	if !program.Eventually(patience, func() bool {
		return d.ask(t, http.StatusOK, "GET", path, nil).text("source", "state") == "waiting"
	}) {
		t.Error("a source that does not answer is not waited for")
	}
	d.call(t, http.StatusOK, "GET", path, nil)
	d.call(t, http.StatusPreconditionFailed, "POST", path+"/stop", nil, header{"If-Match", `"0"`})
	d.call(t, http.StatusOK, "POST", path+"/stop", nil)
	d.call(t, http.StatusOK, "POST", path+"/start", nil)
	d.call(t, http.StatusOK, "PATCH", path, `{"source":{}}`)
}

// clip makes a clip of a stream that an encoder sends to.
func (d *driver) clip(t *testing.T, path string, made answer) {
	d.call(t, http.StatusServiceUnavailable, "POST", path+"/captions", `{"language":"zh","text":"你好"}`)
	d.call(t, http.StatusServiceUnavailable, "POST", path+"/markers", `{"class":"score"}`)
	d.call(t, http.StatusBadRequest, "POST", path+"/clips", `{"start":"2026-01-02T03:04:05Z","last":5}`)
	d.call(t, http.StatusOK, "PATCH", path, `{"record":true,"playback_policy":"public"}`)
	command := exec.CommandContext(t.Context(), testkit.FFmpeg(t), "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p", "-f", "flv", made.text("ingest", "rtmp", "url")+"/"+made.text("ingest", "rtmp", "key"))
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Wait()
	defer command.Process.Kill()
	if !program.Eventually(patience, func() bool {
		return d.ask(t, http.StatusOK, "GET", path, nil).text("recording", "asset") != "" &&
			send(t, d.request(t, "GET", "/play/"+made.text("id")+"/master.m3u8", nil)).status == http.StatusOK
	}) {
		t.Fatal("what the encoder sends does not come")
	}
	d.call(t, http.StatusOK, "GET", path, nil)
	d.statistics(t, path)
	d.call(t, http.StatusNoContent, "POST", path+"/captions", `{"language":"zh","text":"你好"}`)
	d.call(t, http.StatusBadRequest, "POST", path+"/captions", `{"language":"z/h","text":"你好"}`)
	d.call(t, http.StatusUnprocessableEntity, "POST", path+"/captions", `{"language":"zh","text":"你好","duration":3600}`)
	d.call(t, http.StatusCreated, "POST", path+"/markers", `{"id":"goal","class":"score","attributes":{"team":"红"}}`)
	d.call(t, http.StatusConflict, "POST", path+"/markers", `{"id":"goal"}`)
	d.call(t, http.StatusCreated, "POST", path+"/markers", `{"break":"out","duration":30}`)
	d.call(t, http.StatusBadRequest, "POST", path+"/markers", `{"scte35":"AAAA"}`)
	clip := d.call(t, http.StatusAccepted, "POST", path+"/clips", `{"name":"片段","last":3600}`).text("asset")
	d.call(t, http.StatusOK, "GET", "/v1/assets/"+clip, nil)
	d.until(t, clip, "ready")
	d.call(t, http.StatusOK, "GET", "/v1/assets/"+clip, nil)
	d.call(t, http.StatusConflict, "PUT", "/v1/assets/"+clip+"/subtitles/en", "WEBVTT\n\n00:00.000 --> 00:01.000\nx\n", header{"Content-Type", "text/vtt"})
}

// statistics are those of a stream that is on air, and of which a playlist was read.
func (d *driver) statistics(t *testing.T, path string) {
	if !program.Eventually(patience, func() bool {
		s := d.ask(t, http.StatusOK, "GET", path+"/statistics", nil)
		var got client.StreamStatistics
		if err := json.Unmarshal(s.body, &got); err != nil {
			t.Fatal(err)
		}
		return got.Since != nil && got.BytesIn > 0 && got.Ways.HTTP.BytesOut > 0 && got.Most == 1
	}) {
		t.Error("what the encoder sent and a viewer got is not counted")
	}
	d.call(t, http.StatusOK, "GET", path+"/statistics", nil)
}

// offer is what a browser says that publishes sound.
const offer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n" +
	"a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n" +
	"a=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\n"

func (d *driver) webrtc(t *testing.T) {
	made := d.call(t, http.StatusCreated, "POST", "/v1/streams", `{"name":"By a browser"}`)
	api, key := d.key, made.text("ingest", "rtmp", "key")
	defer func() { d.key = api }()
	sdp, fragment := header{"Content-Type", "application/sdp"}, header{"Content-Type", "application/trickle-ice-sdpfrag"}
	d.key = "lys_wrong"
	d.call(t, http.StatusForbidden, "POST", made.text("ingest", "whip", "url"), offer, sdp)
	d.key = key
	d.call(t, http.StatusBadRequest, "POST", "/whip", "no offer", sdp)
	session := d.call(t, http.StatusCreated, "POST", "/whip", offer, sdp)
	path := session.header.Get("Location")
	d.call(t, http.StatusNoContent, "PATCH", path, "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n", fragment, header{"If-Match", session.header.Get("ETag")})
	d.call(t, http.StatusPreconditionFailed, "PATCH", path, "a=ice-ufrag:abcd\r\n", fragment, header{"If-Match", `"other"`})
	d.call(t, http.StatusNotFound, "DELETE", "/whip/absent", nil)
	d.call(t, http.StatusOK, "DELETE", path, nil)
	d.key = api
	d.call(t, http.StatusNoContent, "DELETE", "/v1/streams/"+made.text("id"), nil)
}

func (d *driver) subtitles(t *testing.T, path string) {
	const words = "WEBVTT\n\n00:00.000 --> 00:01.000\n流云\n"
	vtt := header{"Content-Type", "text/vtt"}
	d.call(t, http.StatusBadRequest, "PUT", path+"/subtitles/123456789", words, vtt)
	d.call(t, http.StatusAccepted, "PUT", path+"/subtitles/zh-Hans?name=%E4%B8%AD%E6%96%87", words, vtt)
	d.until(t, path[len("/v1/assets/"):], "ready")
	d.call(t, http.StatusOK, "GET", path, nil)
	d.call(t, http.StatusNotFound, "DELETE", path+"/subtitles/fr", nil)
	d.call(t, http.StatusAccepted, "DELETE", path+"/subtitles/zh-Hans", nil)
}

func (d *driver) uploads(t *testing.T) {
	version := header{"Tus-Resumable", "1.0.0"}
	length := func(n int) header { return header{"Upload-Length", strconv.Itoa(n)} }
	bad := header{"Upload-Metadata", "filename ?"}
	d.call(t, http.StatusBadRequest, "POST", "/v1/uploads", nil, version, length(10), bad)
	names := header{"Upload-Metadata", "filename " + base64.StdEncoding.EncodeToString([]byte("片.mp4"))}
	made := d.call(t, http.StatusCreated, "POST", "/v1/uploads", nil, version, length(10), names)
	path := made.header.Get("Location")
	if id := made.header.Get("Liuyun-Asset"); id == "" || path != "/v1/uploads/"+id {
		t.Errorf("made: Location %q, Liuyun-Asset %q", path, id)
	}
	chunk := header{"Content-Type", "application/offset+octet-stream"}
	d.call(t, http.StatusNoContent, "PATCH", path, []byte("01234"), version, chunk, header{"Upload-Offset", "0"})
	d.call(t, http.StatusConflict, "PATCH", path, []byte("01234"), version, chunk, header{"Upload-Offset", "3"})
	if at := d.call(t, http.StatusOK, "HEAD", path, nil, version).header.Get("Upload-Offset"); at != "5" {
		t.Errorf("%s bytes have arrived, want 5", at)
	}
	d.call(t, http.StatusNoContent, "DELETE", path, nil, version)
	d.call(t, http.StatusNotFound, "DELETE", path, nil, version)
	d.call(t, http.StatusNotFound, "HEAD", path, nil, version)
}

// rest is what is only looked at: jobs, usage, events, the document.
func (d *driver) rest(t *testing.T) {
	d.call(t, http.StatusOK, "GET", "/v1/openapi.json", nil)
	jobs := d.call(t, http.StatusOK, "GET", "/v1/jobs?kind=transcode&state=done", nil)
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/jobs?state=lost", nil)
	d.call(t, http.StatusOK, "GET", "/v1/jobs/"+jobs.ids(t)[0], nil)
	d.call(t, http.StatusNotFound, "GET", "/v1/jobs/job_absent", nil)
	d.call(t, http.StatusOK, "GET", "/v1/usage?from=2026-01-01&to=2026-01-31", nil)
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/usage?from=yesterday", nil)
	d.call(t, http.StatusBadRequest, "GET", "/v1/events", nil, header{"Last-Event-ID", "first"})
	a, text := d.first(t, func(text string) bool { return strings.Contains(text, "\n\n") })
	d.note(t, a, nil)
	if !strings.HasPrefix(text, "retry: ") {
		t.Errorf("a stream begins with %.100q", text)
	}
	d.events(t)
}

// events are those of assets and streams, and each has what the API shows of it.
func (d *driver) events(t *testing.T) {
	wanted := []string{"asset.created", "asset.updated", "asset.ready", "asset.failed", "asset.deleted", "stream.created", "stream.updated"}
	_, text := d.first(t, func(text string) bool {
		return !slices.ContainsFunc(wanted, func(kind string) bool { return !strings.Contains(text, "event: "+kind+"\n") })
	}, header{"Last-Event-ID", "1"})
	seen := map[string]bool{}
	for block := range strings.SplitSeq(text, "\n\n") {
		_, data, found := strings.Cut(block, "\ndata: ")
		if !found {
			continue
		}
		var e struct {
			ID, Type, Tenant string
			Data             json.RawMessage
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("%v in %q", err, block)
		}
		seen[e.Type] = true
		if e.ID == "" || e.Tenant == "" || len(e.Data) == 0 {
			t.Errorf("event %q", block)
		}
	}
	for _, kind := range wanted {
		if !seen[kind] {
			t.Errorf("no %s among %v", kind, seen)
		}
	}
}

// nodes comes last: the server's own node is shut out.
func (d *driver) nodes(t *testing.T) {
	node := d.call(t, http.StatusOK, "GET", "/v1/nodes", nil).ids(t)[0]
	d.call(t, http.StatusUnprocessableEntity, "GET", "/v1/nodes?limit=x", nil)
	path := "/v1/nodes/" + node
	d.call(t, http.StatusOK, "GET", path, nil)
	d.call(t, http.StatusOK, "POST", path+"/drain", nil)
	d.call(t, http.StatusOK, "POST", path+"/resume", nil)
	d.call(t, http.StatusBadRequest, "POST", "/v1/nodes/join_tokens", `{"roles":["cook"]}`)
	d.call(t, http.StatusCreated, "POST", "/v1/nodes/join_tokens", `{"expires_in":60}`)
	edge := d.call(t, http.StatusCreated, "POST", "/v1/nodes/join_tokens", `{"roles":["edge"]}`)
	if command := edge.text("command"); !strings.HasPrefix(command, "liuyun serve --roles edge --join lyj_") {
		t.Errorf("an edge joins by %q", command)
	}
	d.call(t, http.StatusNoContent, "DELETE", path, nil)
	for _, gone := range [][2]string{{"GET", path}, {"DELETE", path}, {"POST", path + "/drain"}, {"POST", path + "/resume"}} {
		d.call(t, http.StatusNotFound, gone[0], gone[1], nil)
	}
}
