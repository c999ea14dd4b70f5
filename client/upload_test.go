package client_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"liuyun/client"
	"liuyun/internal/testkit/fakecloud"
)

func random(n int) []byte {
	data := make([]byte, n)
	generator := rand.NewChaCha8([32]byte{1})
	_, _ = generator.Read(data)
	return data
}

// What arrives is what was sent, however often the line breaks.
func TestUploadGoesOnAfterBreaks(t *testing.T) {
	t.Parallel()
	tests := map[string][]fakecloud.Fault{
		"undisturbed":         nil,
		"in the first chunk":  {{Call: "PATCH /v1/uploads", After: 1000}},
		"thrice":              {{Call: "PATCH /v1/uploads", After: 70_000}, {Call: "PATCH /v1/uploads", After: 1}, {Call: "PATCH /v1/uploads", After: 50_000}},
		"answer lost":         {{Call: "PATCH /v1/uploads", Done: true}},
		"no answer to HEAD":   {{Call: "HEAD /v1/uploads"}, {Call: "HEAD /v1/uploads", Status: 503}},
		"busy":                {{Call: "PATCH /v1/uploads", Status: 503}, {Call: "POST /v1/uploads", Status: 429}},
		"held by another":     {{Call: "PATCH /v1/uploads", Status: 423}},
		"offset is elsewhere": {{Call: "PATCH /v1/uploads", Status: 409}},
	}
	for name, faults := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, c := start(t)
			for _, f := range faults {
				cloud.Break(f)
			}
			data, last := random(300_000), int64(0)
			a, err := c.Upload(t.Context(), bytes.NewReader(data), int64(len(data)), client.UploadOptions{
				Name: "talk.mov", Chunk: 100_000, Options: &client.EncodeOptions{Preset: "fast"},
				OnProgress: func(sent, size int64) { last = sent },
			})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(cloud.Source(a.ID), data) {
				t.Error("other bytes arrived than were sent")
			}
			if a.Name != "talk.mov" || a.Size != int64(len(data)) || a.Options.Preset != "fast" || last != int64(len(data)) {
				t.Errorf("got %+v, progress to %d", a, last)
			}
		})
	}
}

// Another process goes on with the token, and sends only what is missing.
func TestUploadResumes(t *testing.T) {
	t.Parallel()
	cloud, c := start(t)
	data, token := random(300_000), ""
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Upload(ctx, bytes.NewReader(data), int64(len(data)), client.UploadOptions{
		Name: "a", Chunk: 100_000,
		OnCreated: func(made string) error { token = made; return nil },
		OnProgress: func(sent, _ int64) {
			if sent > 150_000 {
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) || token == "" {
		t.Fatalf("got %v and token %q, want that it was canceled", err, token)
	}
	if _, err := c.Upload(t.Context(), bytes.NewReader(data[1:]), int64(len(data)-1), client.UploadOptions{Resume: token}); !errors.Is(err, client.ErrOtherFile) {
		t.Errorf("another file: got %v, want ErrOtherFile", err)
	}
	first := int64(-1)
	a, err := c.Upload(t.Context(), bytes.NewReader(data), int64(len(data)), client.UploadOptions{Resume: token, OnProgress: func(sent, _ int64) {
		if first < 0 {
			first = sent
		}
	}})
	if err != nil || !bytes.Equal(cloud.Source(a.ID), data) {
		t.Errorf("resumed: %v; whole: %v", err, bytes.Equal(cloud.Source(a.ID), data))
	}
	if first < 100_000 {
		t.Errorf("it began again at %d, want at what the server had", first)
	}
	posts := slices.DeleteFunc(cloud.Calls(), func(call string) bool { return call != "POST /v1/uploads" })
	if len(posts) != 1 {
		t.Errorf("%d uploads were made, want one", len(posts))
	}
	if _, err := c.Upload(t.Context(), bytes.NewReader(data), int64(len(data)), client.UploadOptions{Resume: token}); err != nil {
		t.Errorf("an upload that is complete: %v", err)
	}
	if err := c.CancelUpload(t.Context(), token); err != nil {
		t.Error(err)
	}
	if _, err := c.Upload(t.Context(), bytes.NewReader(data), int64(len(data)), client.UploadOptions{Resume: token}); client.CodeOf(err) != client.NotFound {
		t.Errorf("an upload that is gone: got %v, want not found", err)
	}
}

// What no retry helps ends at once.
func TestUploadGivesUp(t *testing.T) {
	t.Parallel()
	cloud, c := start(t)
	cloud.Break(fakecloud.Fault{Call: "PATCH /v1/uploads", Status: 507})
	if _, err := c.Upload(t.Context(), strings.NewReader("abc"), 3, client.UploadOptions{Name: "a"}); client.CodeOf(err) != client.StorageFull {
		t.Errorf("disk full: got %v", err)
	}
	if _, err := c.Upload(t.Context(), strings.NewReader("abc"), 5, client.UploadOptions{Name: "a"}); err == nil || !strings.Contains(err.Error(), "shorter than it was") {
		t.Errorf("a file that shrank: got %v", err)
	}
	for _, token := range []string{"https://evil.example/v1/uploads/x", "/v1/keys/x", "/v1/uploads/../keys/x", "/v1/uploads/"} {
		before := len(cloud.Calls())
		if _, err := c.Upload(t.Context(), strings.NewReader("abc"), 3, client.UploadOptions{Resume: token}); err == nil || len(cloud.Calls()) != before {
			t.Errorf("token %q: got %v", token, err)
		}
	}
	refused := errors.New("cannot write it down")
	if _, err := c.Upload(t.Context(), strings.NewReader("abc"), 3, client.UploadOptions{OnCreated: func(string) error { return refused }}); !errors.Is(err, refused) {
		t.Errorf("OnCreated: got %v", err)
	}
	cloud.Break(fakecloud.Fault{Call: "POST /v1/uploads", Done: true})
	before := len(cloud.Calls())
	if _, err := c.Upload(t.Context(), strings.NewReader("abc"), 3, client.UploadOptions{}); err == nil || len(cloud.Calls())-before != 1 {
		t.Errorf("an upload that may have been made: got %v after %d calls, want an error after one", err, len(cloud.Calls())-before)
	}
}

func TestEmptyUpload(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	if _, err := c.Upload(t.Context(), strings.NewReader(""), 0, client.UploadOptions{Name: "a"}); err != nil {
		t.Error(err)
	}
}
