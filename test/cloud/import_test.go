package cloud

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"liuyun/client"
)

// A source is fetched from an address; one on this machine only where the
// configuration allows it.
func TestImport(t *testing.T) {
	source := film(t)
	files := http.FileServer(http.Dir(filepath.Dir(source)))
	server := httptest.NewServer(files)
	defer server.Close()
	address := server.URL + "/" + filepath.Base(source)

	n := start(t)
	a, err := n.Assets.Create(t.Context(), client.NewAsset{Name: "film.mp4", URL: address, Options: quick()})
	if err != nil {
		t.Fatal(err)
	}
	a = n.until(t, a.ID, "refused", func(a client.Asset) bool { return a.Status.Ended() })
	if a.Status != client.Failed || a.Failure == nil || a.Failure.Code != "forbidden" {
		t.Errorf("a private address: %s %+v", a.Status, a.Failure)
	}
	n.Stop()

	n = resume(t, n.Data, "--set", "import.allow=127.0.0.1/32")
	if a, err = n.Assets.Retry(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	a = n.ready(t, a.ID)
	sameMedia(t, n.result(t, a.ID), encodeAlone(t, source, "--preset", "ultrafast", "--ladder", "180,90"))
}
