package app

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
)

// Who is told that the server is ready finds it so.
func TestReadyIsReady(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	told := 0
	err := Serve(ctx, ServeOptions{
		Config: DefaultConfig(), Data: t.TempDir(), Listen: "127.0.0.1:0", Roles: []string{RoleControl}, Log: slog.New(slog.DiscardHandler),
		Ready: func(r Ready) {
			defer stop()
			told++
			answer, err := http.Get(r.URL + "/readyz")
			if err != nil {
				t.Error(err)
				return
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Errorf("/readyz: %s", answer.Status)
			}
		},
	})
	if err != nil || told != 1 {
		t.Errorf("%v, and it was told %d times", err, told)
	}
}
