package blob

import (
	"context"
	"os"

	"liuyun/internal/base/fault"
)

// Reader is what of a [Store] changes nothing.
type Reader interface {
	Open(ctx context.Context, name string) (Object, error)
	Stat(ctx context.Context, name string) (Info, error)
	List(ctx context.Context, prefix string, fn func(Info) error) error
}

// ReadFS reads a folder in which another process may be writing as an [FS]: it
// makes nothing and removes nothing. A folder that is absent is fault.NotFound.
// Whoever gets it closes it.
func ReadFS(dir string) (ReadCloser, error) {
	root, err := os.OpenRoot(dir)
	if os.IsNotExist(err) {
		return nil, fault.Wrap(err, fault.NotFound, "there is no folder %s with objects", dir)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the folder for objects, %s, cannot be opened", dir)
	}
	return &FS{dir: dir, root: root}, nil
}

// ReadCloser is a [Reader] that its user closes.
type ReadCloser interface {
	Reader
	Close() error
}

// FolderFiles returns the names and sizes of all objects that [PutFolder] stored
// below prefix, the list of them being the last. There is none when no whole folder
// is there.
func FolderFiles(ctx context.Context, r Reader, prefix string) ([]Info, error) {
	m, found, err := readManifest(ctx, r, prefix)
	if !found || err != nil {
		return nil, err
	}
	list, err := r.Stat(ctx, prefix+manifestName)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files := make([]Info, 0, len(m.Files)+1)
	for _, file := range m.Files {
		files = append(files, Info{Name: prefix + file.Name, Size: file.Size})
	}
	return append(files, list), nil
}
