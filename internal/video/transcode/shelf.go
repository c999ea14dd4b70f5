package transcode

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"

	"liuyun/internal/av/pixel"
	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/blob"
)

// objectShelf keeps what one asset needs until it is ready as objects.
type objectShelf struct {
	objects blob.Store
	asset   string
	scratch string // a folder of its own, on the file system of what is kept
}

func (s *objectShelf) prefix(hash string) string { return encode.UnitsPrefix(s.asset) + hash + "/" }

// Fetch is Shelf's.
func (s *objectShelf) Fetch(ctx context.Context, hash, dir string) (bool, error) {
	return blob.GetFolder(ctx, s.objects, s.prefix(hash), dir)
}

// Keep is Shelf's. The objects are links to the files, where that can be.
func (s *objectShelf) Keep(ctx context.Context, hash, dir string) error {
	temporary, err := os.MkdirTemp(s.scratch, "keep-")
	if err != nil {
		return explainWrite(err, s.scratch)
	}
	defer os.RemoveAll(temporary)
	given := filepath.Join(temporary, hash)
	if err := linkTree(dir, given); err != nil {
		return explainWrite(err, s.scratch)
	}
	return blob.PutFolder(ctx, s.objects, s.prefix(hash), given)
}

// signatures reads those of a range.
func (s *objectShelf) signatures(ctx context.Context, r SignatureRange) ([]pixel.Signature, error) {
	object, err := s.objects.Open(ctx, s.prefix(r.Analysis)+lumaName)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return readSignatures(object, r.From, r.To)
}

// linkTree makes the folder to with links to the files of from.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		return os.Link(path, filepath.Join(to, name))
	})
}

// objectSink publishes a result as objects below a prefix.
type objectSink struct {
	objects blob.Store
	prefix  string
}

// publish is sink's: the report is stored last, and where it is the result is
// whole. A result that is there already has the same bytes.
func (s *objectSink) publish(ctx context.Context, stage string) error {
	path := filepath.Join(stage, reportName)
	report, err := os.ReadFile(path)
	if err == nil {
		err = os.Remove(path)
	}
	if err == nil {
		err = blob.PutFolder(ctx, s.objects, s.prefix, stage)
	}
	if err == nil {
		_, err = s.objects.Put(ctx, s.prefix+reportName, bytes.NewReader(report))
	}
	return err
}
