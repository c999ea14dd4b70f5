package blob_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/secret"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/blob/blobtest"
	"liuyun/internal/testkit"
)

// victimEnv names the store that this program writes to when it is started as the
// child that is killed.
const victimEnv = "BLOB_TEST_VICTIM"

func TestMain(m *testing.M) {
	if where := os.Getenv(victimEnv); where != "" {
		if err := victim(where); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// victim puts and appends until it is killed, and says on its standard output what was
// acknowledged. What an object holds follows from its name.
func victim(where string) error {
	ctx := context.Background()
	s, err := openVictimStore(ctx, where)
	if err != nil {
		return err
	}
	go func() {
		for offset := int64(0); ; {
			n, err := s.Append(ctx, "up", offset, io.LimitReader(pattern("up", offset), 5_000_000))
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			offset += n
			fmt.Printf("append %d\n", offset)
		}
	}()
	for i := 0; ; i++ {
		name := fmt.Sprintf("put/%d/%d", i%7, i)
		if _, err := s.Put(ctx, name, io.LimitReader(pattern(name, 0), 3_000_000)); err != nil {
			return err
		}
		fmt.Printf("put %s\n", name)
	}
}

func openVictimStore(ctx context.Context, where string) (blob.Backend, error) {
	if folder, ok := strings.CutPrefix(where, "fs "); ok {
		return blob.NewFS(folder, blob.Reserve{})
	}
	return blob.NewS3(ctx, blob.Config{URL: where, AccessKey: "test-access", SecretKey: secret.New("test-secret-key")}, os.TempDir())
}

// pattern gives endless bytes that follow from name.
func pattern(name string, offset int64) io.Reader {
	return &patternReader{[]byte(name + "|"), offset}
}

type patternReader struct {
	word []byte
	at   int64
}

func (p *patternReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = p.word[p.at%int64(len(p.word))]
		p.at++
	}
	return len(b), nil
}

func TestFSIsKilled(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	testKills(t, "fs "+folder)
	// The next one that opens it sweeps what was half-written.
	newFS(t, folder)
	entries, err := os.ReadDir(filepath.Join(folder, ".tmp"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "lock" {
			t.Errorf("%s is left", entry.Name())
		}
	}
}

func TestS3IsKilled(t *testing.T) {
	t.Parallel()
	server := testkit.S3(t)
	testKills(t, "s3://"+server.Bucket+"?region=us-east-1&endpoint="+server.Endpoint)
}

// testKills kills the child five times while it writes. What it said is whole is
// whole, and what it did not is whole or absent.
func testKills(t *testing.T, where string) {
	for round := range 5 {
		acknowledged, appended := killOne(t, where)
		s, err := openVictimStore(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range acknowledged {
			if _, err := s.Stat(t.Context(), name); err != nil {
				t.Errorf("round %d: %s was acknowledged: %v", round, name, err)
			}
		}
		err = s.List(t.Context(), "", func(info blob.Info) error { return wantPattern(t, s, info.Name, 3_000_000) })
		if err != nil {
			t.Error(err)
		}
		have, err := s.Appended(t.Context(), "up")
		if err != nil || have < appended {
			t.Fatalf("round %d: %d bytes are there (%v), %d were acknowledged", round, have, err, appended)
		}
		if _, err := s.Seal(t.Context(), "up", have); err != nil {
			t.Fatal(err)
		}
		if err := wantPattern(t, s, "up", have); err != nil {
			t.Error(err)
		}
		for _, remove := range []error{s.Delete(t.Context(), "up"), s.DeleteAll(t.Context(), "put/")} {
			if remove != nil {
				t.Fatal(remove)
			}
		}
		if closer, ok := s.(io.Closer); ok {
			closer.Close()
		}
	}
}

func killOne(t *testing.T, where string) (acknowledged []string, appended int64) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), victimEnv+"="+where)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	// Killed after some lines, in the middle of what comes next.
	kill := 4 + rand.IntN(6)
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		if name, ok := strings.CutPrefix(lines.Text(), "put "); ok {
			acknowledged = append(acknowledged, name)
		}
		fmt.Sscanf(lines.Text(), "append %d", &appended)
		if i == kill {
			time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, func() { command.Process.Kill() })
		}
	}
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child was not killed: %v", err)
	}
	return acknowledged, appended
}

func wantPattern(t *testing.T, s blob.Store, name string, size int64) error {
	t.Helper()
	object, err := s.Open(t.Context(), name)
	if err != nil {
		return err
	}
	defer object.Close()
	got, err := io.ReadAll(object)
	if err != nil {
		return err
	}
	want := make([]byte, size)
	pattern(name, 0).Read(want)
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s has %d bytes that are not the %d that were written", name, len(got), size)
	}
	return nil
}

// smallDisk mounts a tmpfs of 16 MiB, where the test may.
func smallDisk(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(folder, unix.MNT_DETACH) })
	return folder
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, reserve := range []blob.Reserve{{}, {Bytes: 4 << 20}, {Percent: 30}} {
		folder := smallDisk(t)
		s, err := blob.NewFS(folder, reserve)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		large := blobtest.Bytes(30<<20, 1)
		if _, err := s.Put(t.Context(), "large", bytes.NewReader(large)); fault.CodeOf(err) != fault.StorageFull {
			t.Errorf("%+v: put: got %v, want storage_full", reserve, err)
		}
		if _, err := s.Stat(t.Context(), "large"); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%+v: half an object: %v", reserve, err)
		}
		written, err := s.Append(t.Context(), "up", 0, bytes.NewReader(large))
		if fault.CodeOf(err) != fault.StorageFull {
			t.Errorf("%+v: append: got %v, want storage_full", reserve, err)
		}
		if have, err := s.Appended(t.Context(), "up"); have != written || err != nil {
			t.Errorf("%+v: %d bytes are there (%v), %d were acknowledged", reserve, have, err, written)
		}
		if err := s.Abort(t.Context(), "up"); err != nil {
			t.Error(err)
		}
		if _, err := s.Put(t.Context(), "small", strings.NewReader("fits again")); err != nil && reserve.Bytes == 0 && reserve.Percent == 0 {
			t.Errorf("%+v: after there is room: %v", reserve, err)
		}
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	folder := smallDisk(t)
	r := blob.Reserve{Folder: folder, Bytes: 4 << 20, Percent: 10}
	tests := []struct {
		n    int64
		want fault.Code
	}{{0, ""}, {11 << 20, ""}, {13 << 20, fault.StorageFull}}
	for _, test := range tests {
		if got := fault.CodeOf(r.CheckRoom(test.n)); got != test.want {
			t.Errorf("%d bytes: got %q, want %q", test.n, got, test.want)
		}
	}
	r.Percent = 50
	if got := fault.CodeOf(r.CheckRoom(9 << 20)); got != fault.StorageFull {
		t.Errorf("the larger of both does not hold: %q", got)
	}
	if err := (blob.Reserve{}).CheckRoom(1 << 62); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

// A body that was cut off, or changed on its way, is not stored.
func TestHandlerRefusesBrokenBodies(t *testing.T) {
	t.Parallel()
	s := newFS(t, t.TempDir())
	server := httptest.NewServer(blob.Handler(s))
	defer server.Close()
	for _, trailer := range []http.Header{
		nil,
		{"Liuyun-Length": {"5"}, "Liuyun-Sha256": {"00"}},
		{"Liuyun-Length": {"4"}, "Liuyun-Sha256": {"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}},
	} {
		request, err := http.NewRequest(http.MethodPut, server.URL+"/x", io.MultiReader(strings.NewReader("hello")))
		if err != nil {
			t.Fatal(err)
		}
		request.Trailer = trailer
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%v: got %s", trailer, response.Status)
		}
	}
	if _, err := s.Stat(t.Context(), "x"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("it is stored: %v", err)
	}
	for _, path := range []string{"/../x", "/a/../../x", "/%2e%2e/x", "/.tmp/x", "/a//b"} {
		request, err := http.NewRequest(http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %s", path, response.Status)
		}
	}
}

func TestRemoteIsGone(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	s := blob.NewRemote(server.URL, http.DefaultClient)
	_, statErr := s.Stat(t.Context(), "x")
	_, putErr := s.Put(t.Context(), "x", strings.NewReader("x"))
	for _, err := range []error{statErr, putErr, s.Delete(t.Context(), "x")} {
		if fault.CodeOf(err) != fault.Unavailable {
			t.Errorf("got %v, want unavailable", err)
		}
	}
}

// Links inside the folder do not lead out of it.
func TestFSStaysInside(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := newFS(t, filepath.Join(folder, "blob"))
	if err := errors.Join(os.WriteFile(filepath.Join(folder, "secret"), []byte("x"), 0o644),
		os.Symlink("../secret", filepath.Join(folder, "blob", "link")), os.Symlink("..", filepath.Join(folder, "blob", "up"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "up/secret"} {
		if _, err := s.Open(t.Context(), name); err == nil {
			t.Errorf("%s leads out", name)
		}
	}
	if _, err := s.Put(t.Context(), "up/new", strings.NewReader("x")); err == nil {
		t.Error("a put leads out")
	}
	if err := s.DeleteAll(t.Context(), "up/"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "secret")); err != nil {
		t.Errorf("what is outside was deleted: %v", err)
	}
}
