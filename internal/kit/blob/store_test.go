package blob_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/secret"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/blob/blobtest"
	"liuyun/internal/testkit"
)

func newFS(t *testing.T, dir string) *blob.FS {
	t.Helper()
	f, err := blob.NewFS(dir, blob.Reserve{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func newRemote(t *testing.T, behind blob.Backend) *blob.Remote {
	t.Helper()
	server := httptest.NewServer(http.StripPrefix("/blob", blob.Handler(behind)))
	t.Cleanup(server.Close)
	return blob.NewRemote(server.URL+"/blob", server.Client())
}

func newS3(t *testing.T) *blob.S3 {
	t.Helper()
	server := testkit.S3(t)
	s, err := blob.NewS3(t.Context(), blob.Config{
		URL:       "s3://" + server.Bucket + "/deep/inside?region=us-east-1&endpoint=" + server.Endpoint,
		AccessKey: server.AccessKey,
		SecretKey: secret.New(server.SecretKey),
	}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Open chooses by the address, and what S3 refuses says what to do.
func TestOpen(t *testing.T) {
	t.Parallel()
	local, err := blob.Open(t.Context(), blob.DefaultConfig(), t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	if _, ok := local.(*blob.FS); !ok {
		t.Errorf("got %T, want the disk", local)
	}
	server := testkit.S3(t)
	open := func(bucket, key string) error {
		c := blob.DefaultConfig()
		c.URL = "s3://" + bucket + "?region=us-east-1&endpoint=" + server.Endpoint
		c.AccessKey, c.SecretKey = server.AccessKey, secret.New(key)
		s, err := blob.Open(t.Context(), c, "", t.TempDir())
		if err == nil {
			s.Close()
		}
		return err
	}
	if err := open(server.Bucket, server.SecretKey); err != nil {
		t.Error(err)
	}
	if err := open("absent", server.SecretKey); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no bucket: got %v, want not_found", err)
	}
	err = open(server.Bucket, "hunter2-hunter2")
	if fault.CodeOf(err) != fault.Unavailable || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("wrong key: got %v, want unavailable, without the key", err)
	}
}

func TestFS(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, newFS(t, t.TempDir()))
}

func TestRemote(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, newRemote(t, newFS(t, t.TempDir())))
}

func TestS3(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, newS3(t))
}
