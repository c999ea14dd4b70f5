package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"liuyun/client"
)

// Sizes of uploads, bytes.
const (
	uploadSize  = 4 << 30
	largestPut  = 256 << 20 // that our server takes in one PUT
	clientChunk = 64 << 20  // what liuyun upload sends in one request
)

// uploader sends files to one server and knows what that used.
type uploader struct {
	name  string
	pids  []int
	send  func(ctx context.Context, size int64) error // and has the server keep it
	clear func(ctx context.Context) error             // removes what was sent, and waits until it is gone
}

// cpu is the CPU seconds of the server until now.
func (u *uploader) cpu() (float64, error) {
	sum := 0.0
	for _, pid := range u.pids {
		used, ok := processCPU(pid)
		if !ok {
			return 0, fmt.Errorf("%s is gone", u.name)
		}
		sum += used
	}
	return sum, nil
}

// peak is the largest that any process of the server ever was, bytes.
func (u *uploader) peak() int64 {
	most := int64(0)
	for _, pid := range u.pids {
		most = max(most, peakMemory(pid))
	}
	return most
}

// sent is what one upload cost.
type sent struct {
	cpu  float64 // seconds of the server
	wall float64 // seconds
}

// upload sends size bytes and removes them.
func (u *uploader) upload(ctx context.Context, size int64) (s sent, err error) {
	before, err := u.cpu()
	if err != nil {
		return s, err
	}
	began := time.Now()
	if err := u.send(ctx, size); err != nil {
		return s, fmt.Errorf("%s: %w", u.name, err)
	}
	s.wall = time.Since(began).Seconds()
	after, err := u.cpu()
	s.cpu = after - before
	return s, errors.Join(err, u.clear(ctx))
}

// measureUpload compares the CPU seconds of our server for 4 GB over loopback with
// those of nginx for its own PUT, in turn, with the same caller and the same body:
// in one resumable request, in the requests that liuyun upload makes, and in PUTs
// of the largest size that we take. Ours syncs, nginx does not. A figure without a
// bar shows an nginx whose buffer is as large as ours. The peak memory after that
// is compared with the peak after a sixteenth of it.
func measureUpload(ctx context.Context, b *bench) ([]result, error) {
	size, count := int64(uploadSize), b.flags.pairs
	if b.flags.quick {
		size, count = largestPut, 1
	}
	if err := b.checkRoom(2 * size); err != nil {
		return nil, err
	}
	nginx, err := b.nginx(ctx)
	if err != nil {
		return nil, err
	}
	defer nginx.stop()
	data, err := b.freshData()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(filepath.Dir(data))
	server, err := b.serve(ctx, controlOnly(data))
	if err != nil {
		return nil, err
	}
	defer server.kill()
	results, err := b.compareAllUploads(ctx, server, nginx, size, count)
	if err != nil {
		return results, err
	}
	_, err = server.stop()
	return results, err
}

func (b *bench) compareAllUploads(ctx context.Context, server *server, nginx *nginxServer, size int64, count int) ([]result, error) {
	caller := callers(1)
	whole, parts, large := nginx.uploader(caller, nginxPlain, size), nginx.uploader(caller, nginxPlain, largestPut), nginx.uploader(caller, nginxLarge, size)
	chunked := server.uploader("tus", server.sendTus(caller, clientChunk))
	const bar = 1.5
	cases := []struct {
		name         string
		ours, theirs *uploader
		bar          float64
	}{
		{"tus, one request", server.uploader("tus", server.sendTus(caller, size)), whole, bar},
		{"tus, 64 MiB a request", chunked, whole, bar},
		{"PUT, 256 MiB each", server.uploader("PUT", server.sendPuts(caller)), parts, bar},
		{"tus, 64 MiB a request", chunked, large, 0},
	}
	first := cases[0].ours
	if _, err := first.upload(ctx, size/16); err != nil {
		return nil, err
	}
	small := first.peak()
	// The kernel has to find memory for the first ones, which costs who comes first.
	for _, u := range []*uploader{whole, first} {
		if _, err := u.upload(ctx, size); err != nil {
			return nil, err
		}
	}
	var results []result
	for _, c := range cases {
		r, err := b.compareUploads(ctx, c.ours, c.theirs, size, count)
		if err != nil {
			return results, err
		}
		r.Clip, r.Peer, r.Bar = fmt.Sprintf("%d MB, %s", size/1_000_000, c.name), c.theirs.name, c.bar
		results = append(results, r)
	}
	return append(results, result{
		Peer: "itself after a sixteenth of it", Clip: fmt.Sprintf("%d MB, memory", size/1_000_000), Unit: "MB",
		Ours: float64(first.peak()) / 1e6, Theirs: float64(small) / 1e6, Bar: 1.25, Bound: atMost,
		Notes: fmt.Sprintf("peak of our server after %d uploads; nginx's worker needed %.0f MB", 1+count*len(cases), float64(whole.peak())/1e6),
	}), nil
}

// compareUploads lets both take turns.
func (b *bench) compareUploads(ctx context.Context, ours, theirs *uploader, size int64, count int) (result, error) {
	var a, z, ratios, aWall, zWall []float64
	for n := range count {
		x, err := ours.upload(ctx, size)
		if err != nil {
			return result{}, err
		}
		y, err := theirs.upload(ctx, size)
		if err != nil {
			return result{}, err
		}
		b.say("  pair %d of %d: %s %.2f CPU s, %.1f s; %s %.2f CPU s, %.1f s", n+1, count, ours.name, x.cpu, x.wall, theirs.name, y.cpu, y.wall)
		a, z, ratios = append(a, x.cpu), append(z, y.cpu), append(ratios, x.cpu/y.cpu)
		aWall, zWall = append(aWall, x.wall), append(zWall, y.wall)
	}
	return result{
		Unit: "CPU s", Ours: median(a), Theirs: median(z), Bound: atMost,
		Notes: fmt.Sprintf("%d pairs, ratios %.3f to %.3f; %.1f s with the sync against %.1f s without",
			count, slices.Min(ratios), slices.Max(ratios), median(aWall), median(zWall)),
	}, nil
}

// checkRoom makes sure that so many bytes and the reserve of a server fit.
func (b *bench) checkRoom(size int64) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(b.scratch, &disk); err != nil {
		return err
	}
	total, free := int64(disk.Blocks)*disk.Bsize, int64(disk.Bavail)*disk.Bsize
	if reserve := max(2<<30, total/33); free < size+reserve {
		return &absentError{fmt.Sprintf("%d GB on the disk of the temporary folder", (size+reserve)/1_000_000_000)}
	}
	return nil
}

// uploader sends one file after the other by PUT, each at most so large.
func (n *nginxServer) uploader(caller *http.Client, folder string, most int64) *uploader {
	name := "nginx's PUT"
	if folder == nginxLarge {
		name += ", buffer of 256 KiB"
	}
	return &uploader{
		name: name, pids: n.pids,
		send: func(ctx context.Context, size int64) error {
			for at := int64(0); at < size; at += most {
				length := min(most, size-at)
				_, err := sendBody(ctx, caller, http.MethodPut, fmt.Sprintf("%s/%s/%d", n.url, folder, at), nil, at, length)
				if err != nil {
					return err
				}
			}
			return nil
		},
		clear: func(context.Context) error {
			// What is dirty would be written while the other side is measured.
			files, err := filepath.Glob(filepath.Join(n.folder, folder, "*"))
			for _, path := range files {
				err = errors.Join(err, syncFile(path), os.Remove(path))
			}
			return err
		},
	}
}

func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// uploader sends in one of the ways below.
func (s *server) uploader(name string, send func(context.Context, int64) error) *uploader {
	return &uploader{name: name, pids: []int{s.Pid}, send: send, clear: s.clearAssets}
}

// sendTus sends a file as one resumable upload, in requests of at most chunk bytes.
func (s *server) sendTus(caller *http.Client, chunk int64) func(context.Context, int64) error {
	return func(ctx context.Context, size int64) error {
		header := http.Header{"Authorization": {"Bearer " + s.Key}, "Tus-Resumable": {"1.0.0"}, "Upload-Length": {strconv.FormatInt(size, 10)}}
		answer, err := sendBody(ctx, caller, http.MethodPost, s.URL+"/v1/uploads", header, 0, 0)
		if err != nil {
			return err
		}
		address := s.URL + answer.Header.Get("Location")
		header.Del("Upload-Length")
		header.Set("Content-Type", "application/offset+octet-stream")
		for at := int64(0); at < size; at += chunk {
			header.Set("Upload-Offset", strconv.FormatInt(at, 10))
			if _, err := sendBody(ctx, caller, http.MethodPatch, address, header, at, min(chunk, size-at)); err != nil {
				return err
			}
		}
		return nil
	}
}

// sendPuts sends as many whole sources as are needed, each of an asset of its own.
func (s *server) sendPuts(caller *http.Client) func(context.Context, int64) error {
	return func(ctx context.Context, size int64) error {
		c, err := s.client("")
		if err != nil {
			return err
		}
		defer c.Close()
		header := http.Header{"Authorization": {"Bearer " + s.Key}, "Content-Type": {"application/octet-stream"}}
		for at := int64(0); at < size; at += largestPut {
			asset, err := c.Assets.Create(ctx, client.NewAsset{Name: fmt.Sprintf("part at %d", at)})
			if err != nil {
				return err
			}
			if _, err := sendBody(ctx, caller, http.MethodPut, s.URL+"/v1/assets/"+asset.ID+"/source", header, at, min(largestPut, size-at)); err != nil {
				return err
			}
		}
		return nil
	}
}

// clearPatience bounds how long a server may take to remove deleted assets.
const clearPatience = 2 * time.Minute

// clearAssets deletes all assets and waits until their bytes are gone.
func (s *server) clearAssets(ctx context.Context) error {
	c, err := s.client("")
	if err != nil {
		return err
	}
	defer c.Close()
	for asset, err := range c.Assets.List(ctx, client.AssetFilter{}) {
		if err == nil {
			err = c.Assets.Delete(ctx, asset.ID)
		}
		if err != nil {
			return err
		}
	}
	deadline := time.Now().Add(clearPatience)
	for {
		left, err := largestFile(filepath.Join(s.data, "blob"))
		if err != nil || left < 1<<20 {
			return err
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(ctx.Err(), errors.New("deleted assets are still on the disk"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// largestFile is the size of the largest file below a folder whose files may go.
func largestFile(folder string) (int64, error) {
	largest := int64(0)
	err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				largest = max(largest, info.Size())
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return largest, err
}

// sendBody makes a request with the bytes of the pattern from offset on, and wants
// a success.
func sendBody(ctx context.Context, caller *http.Client, method, address string, header http.Header, offset, length int64) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if length > 0 {
		body = io.NewSectionReader(newPattern(), offset, length)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = length
	if header != nil {
		r.Header = header.Clone()
	}
	response, err := caller.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: status %d: %.300s", method, address, response.StatusCode, text)
	}
	return response, err
}

// pattern is an endless body: the same random bytes again and again.
type pattern []byte

func newPattern() pattern {
	bytes := make(pattern, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(bytes)
	return bytes
}

// ReadAt never ends.
func (p pattern) ReadAt(into []byte, offset int64) (int, error) {
	for n := 0; n < len(into); {
		n += copy(into[n:], p[(offset+int64(n))%int64(len(p)):])
	}
	return len(into), nil
}
