package fakecloud

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// upload is the source of an asset as far as it has come.
type upload struct {
	size  int64
	bytes []byte
}

// serveUpload speaks tus 1.0.0.
func (c *Cloud) serveUpload(w http.ResponseWriter, r *http.Request, id string) {
	if r.Header.Get("Tus-Resumable") != "1.0.0" {
		problem(w, 412, "invalid", "send Tus-Resumable: 1.0.0")
		return
	}
	w.Header().Set("Tus-Resumable", "1.0.0")
	if r.Method == "POST" {
		c.beginUpload(w, r)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u, asset := c.uploads[id], c.find("assets", id)
	if u == nil || asset == nil {
		problem(w, 404, "not_found", "there is no such upload")
		return
	}
	switch r.Method {
	case "PATCH":
		if r.Header.Get("Upload-Offset") != strconv.Itoa(len(u.bytes)) || r.Header.Get("Content-Type") != "application/offset+octet-stream" {
			problem(w, 409, "conflict", "the offset is another")
			return
		}
		bytes, _ := io.ReadAll(io.LimitReader(r.Body, u.size-int64(len(u.bytes))))
		u.bytes = append(u.bytes, bytes...)
		asset["status"] = "uploading"
		if int64(len(u.bytes)) == u.size {
			asset["status"], asset["size"], asset["phase"] = "queued", u.size, "analyse"
		}
	case "DELETE":
		c.remove("assets", id)
		delete(c.uploads, id)
	default:
		w.Header().Set("Upload-Length", strconv.FormatInt(u.size, 10))
		w.Header().Set("Cache-Control", "no-store")
	}
	w.Header().Set("Upload-Offset", strconv.Itoa(len(u.bytes)))
	w.WriteHeader(204)
}

func (c *Cloud) beginUpload(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
	if err != nil {
		problem(w, 400, "invalid", "send Upload-Length")
		return
	}
	metadata := make(map[string]string)
	for pair := range strings.SplitSeq(r.Header.Get("Upload-Metadata"), ",") {
		name, encoded, _ := strings.Cut(strings.TrimSpace(pair), " ")
		value, _ := base64.StdEncoding.DecodeString(encoded)
		metadata[name] = string(value)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	asset := c.find("assets", metadata["asset"])
	if asset == nil {
		asset = c.newAsset(metadata["filename"])
		if text := metadata["options"]; text != "" {
			var options Object
			_ = json.Unmarshal([]byte(text), &options)
			asset["options"] = options
		}
	}
	id := fmt.Sprint(asset["id"])
	c.uploads[id] = &upload{size: size}
	w.Header().Set("Location", "http://behind.example/v1/uploads/"+id) // as behind a proxy
	w.Header().Set("Liuyun-Asset", id)
	w.WriteHeader(201)
}

// broken is a body whose connection breaks.
type broken struct {
	io.ReadCloser
	left int64
}

func (b *broken) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("the connection broke")
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// tell records an event. The lock is held.
func (c *Cloud) tell(kind string, data Object) {
	c.events = append(c.events, told{c.event(kind, data), false})
	c.wake()
}

// pass records an event that is not numbered. The lock is held.
func (c *Cloud) pass(kind string, data Object) {
	c.events = append(c.events, told{c.event(kind, data), true})
	c.wake()
}

// told is an event of the stream.
type told struct {
	event  Object
	passes bool // has no number
}

func (c *Cloud) event(kind string, data Object) Object {
	text, _ := json.Marshal(data) // as it is now
	return Object{"id": c.newID("evt"), "type": kind, "time": clock, "tenant": "ten_1", "data": json.RawMessage(text)}
}

func (c *Cloud) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Tell sends an event about an object.
func (c *Cloud) Tell(kind string, data Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell(kind, data)
}

// serveEvents streams what happens. Cursors are numbers from 1.
func (c *Cloud) serveEvents(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	from := len(c.events)
	if after, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil {
		from = after
	}
	c.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, ": hello\n\n")
	for {
		c.mu.Lock()
		changed, fresh := c.changed, c.events[min(from, len(c.events)):]
		from += len(fresh)
		first := from - len(fresh)
		c.mu.Unlock()
		for i, told := range fresh {
			if !told.passes {
				fmt.Fprintf(w, "id: %d\n", first+i+1)
			}
			text, _ := json.Marshal(told.event)
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", told.event["type"], text)
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}
