package app

import (
	"log/slog"
	"testing"

	"liuyun/internal/kit/life"
	"liuyun/internal/testkit"
)

// The document of the API is checked in, so that a change of the API is seen in
// review, and other programs are generated from it.
func TestDocumentIsCurrent(t *testing.T) {
	data, err := OpenData(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { data.Close() })
	n := &serving{
		ServeOptions: ServeOptions{Config: DefaultConfig(), Listen: "127.0.0.1:0", Roles: DefaultRoles(), Version: "v1", Log: slog.New(slog.DiscardHandler)},
		data:         data,
	}
	n.group = life.New(n.Log, drainTime)
	t.Cleanup(n.close)
	who, err := n.whoAmI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.buildControl(t.Context(), who, "", "")
	if err != nil {
		t.Fatal(err)
	}
	document, err := c.api.Document()
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "../../api/openapi.yaml", document)
}
