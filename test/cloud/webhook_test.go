package cloud

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"liuyun/client"
)

// receiver is somebody's server that webhooks are sent to. It answers 500 until it
// is repaired.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	repaired bool
	refused  []client.Event
	taken    []client.Event
	forged   int // deliveries whose signature did not hold
	secret   string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		event, verifyErr := client.VerifyWebhook(r.secret, request.Header, body)
		switch {
		case err != nil || verifyErr != nil:
			r.forged++
			w.WriteHeader(http.StatusBadRequest)
		case !r.repaired:
			r.refused = append(r.refused, event)
			w.WriteHeader(http.StatusInternalServerError)
		default:
			r.taken = append(r.taken, event)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// seen copies what has come.
func (r *receiver) seen() (refused, taken []client.Event, forged int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]client.Event{}, r.refused...), append([]client.Event{}, r.taken...), r.forged
}

// A webhook's receiver is broken when the event comes, and the server is killed
// before it is tried again. It is delivered all the same: signed, with the id that
// it had at first.
func TestWebhookOutlivesKill(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	allow := []string{"--set", "webhook.allow=127.0.0.0/8"}
	n := start(t, allow...)
	hook, err := n.Webhooks.Create(t.Context(), client.NewWebhook{URL: r.URL, Events: []string{client.AssetReady}})
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.secret = hook.Secret
	r.mu.Unlock()
	a := n.upload(t, film(t), client.UploadOptions{Options: quick()})
	n.eventually(t, "the event comes to the broken receiver", func() bool {
		refused, _, _ := r.seen()
		return len(refused) > 0
	})
	n.Kill()
	r.mu.Lock()
	r.repaired = true
	r.mu.Unlock()
	n = resume(t, n.Data, allow...)
	n.eventually(t, "the event is delivered", func() bool {
		_, taken, _ := r.seen()
		return len(taken) > 0
	})
	refused, taken, forged := r.seen()
	asset, err := taken[0].Asset()
	if err != nil || asset.ID != a.ID || taken[0].ID != refused[0].ID || taken[0].Type != client.AssetReady || forged > 0 {
		t.Errorf("first refused %+v, then taken %+v, %d forged: %v", refused[0], taken[0], forged, err)
	}
	// Not how many attempts: the kill may have come before the first was written down.
	n.eventually(t, "the delivery is written down", func() bool {
		for d, err := range n.Webhooks.Deliveries(t.Context(), hook.ID) {
			if err == nil && d.Event.ID == taken[0].ID && d.State == "delivered" {
				return true
			}
		}
		return false
	})
}

// What was answered was kept: the server is killed right after each answer.
func TestAcknowledged(t *testing.T) {
	t.Parallel()
	n := start(t)
	kill := func() {
		t.Helper()
		n.Kill()
		n = resume(t, n.Data)
	}
	key, err := n.Keys.Create(t.Context(), client.NewKey{Name: "camera", Scopes: []string{"assets:read"}})
	kill()
	if err != nil {
		t.Fatal(err)
	}
	camera, err := client.New(n.URL, key.Secret, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer camera.Close()
	for _, err := range camera.Assets.List(t.Context(), client.AssetFilter{}) {
		t.Errorf("the key is lost: %v", err)
	}

	hook, err := n.Webhooks.Create(t.Context(), client.NewWebhook{URL: "https://example.com/hook"})
	kill()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Webhooks.Get(t.Context(), hook.ID); err != nil {
		t.Errorf("the webhook is lost: %v", err)
	}

	empty, err := n.Assets.Create(t.Context(), client.NewAsset{Name: "empty"})
	kill()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := n.Assets.Get(t.Context(), empty.ID); err != nil || got.Name != "empty" {
		t.Errorf("the asset is lost: %+v %v", got, err)
	}

	a := n.upload(t, film(t), client.UploadOptions{Options: quick()})
	kill()
	n.ready(t, a.ID)
	if _, err := n.Assets.PutSubtitle(t.Context(), a.ID, "en", "English", strings.NewReader("1\n00:00:01,000 --> 00:00:03,000\nWater\n")); err != nil {
		t.Fatal(err)
	}
	kill()
	a = n.until(t, a.ID, "ready with subtitles", func(a client.Asset) bool {
		return len(a.Subtitles) == 1 && a.Subtitles[0].Status == "ready"
	})
	if _, playlist := n.read(t, a.Playback.HLS); !strings.Contains(string(playlist), `LANGUAGE="en"`) {
		t.Errorf("no subtitles in\n%s", playlist)
	}

	err = n.Assets.Delete(t.Context(), a.ID)
	kill()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := n.Assets.Get(t.Context(), a.ID); client.CodeOf(err) != client.NotFound {
		t.Errorf("deleted, and back after the kill: %+v %v", got, err)
	}
	n.gone(t, a.ID)
}
