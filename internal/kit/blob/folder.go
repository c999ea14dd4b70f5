package blob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/fault"
)

// manifestName is the object that is put last into a folder: with it the folder is
// whole. It lists the others.
const manifestName = ".folder.json"

// transfers is how many files of a folder travel at once.
const transfers = 4

const (
	maxFolderFiles = 200_000
	maxManifest    = 64 << 20
)

// manifest is the content of manifestName.
type manifest struct {
	Files []manifestFile `json:"files"` // in order of name
}

type manifestFile struct {
	Name string `json:"name"` // below the folder
	Size int64  `json:"size"`
}

// PutFolder stores the regular files below the folder dir as objects below prefix,
// which ends in "/". [GetFolder] finds all of them or none. A folder that is there
// already with the same names and sizes stays as it is: prefixes follow from what is
// in the folder, so two that finish the same work do no harm. Another one is
// replaced.
//
// Where the store is on the file system of dir, the folder is renamed and nothing is
// copied. dir is consumed in any case: after success it is gone.
func PutFolder(ctx context.Context, s Store, prefix, dir string) error {
	if err := CheckPrefix(prefix); err != nil {
		return err
	}
	m, err := scanFolder(prefix, dir)
	if err != nil {
		return err
	}
	have, found, err := readManifest(ctx, s, prefix)
	if err != nil {
		return err
	}
	if found && slices.Equal(have.Files, m.Files) {
		return os.RemoveAll(dir)
	}
	if err := s.DeleteAll(ctx, prefix); err != nil {
		return err
	}
	if f, ok := s.(*FS); ok {
		adopted, err := f.adopt(prefix, dir, m)
		if adopted || err != nil {
			return err
		}
	}
	if err := upload(ctx, s, prefix, dir, m); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// scanFolder lists what is in dir. Anything but files and folders is an error: it
// would not arrive.
func scanFolder(prefix, dir string) (m manifest, err error) {
	err = filepath.WalkDir(dir, func(full string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, full)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		if name == manifestName {
			return nil
		}
		if err := CheckName(prefix + name); err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", full)
		}
		if len(m.Files) == maxFolderFiles {
			return fault.New(fault.Limit, "the folder %s has more than %d files", dir, maxFolderFiles)
		}
		m.Files = append(m.Files, manifestFile{name, info.Size()})
		return nil
	})
	if err != nil {
		return m, fmt.Errorf("read folder: %w", err)
	}
	slices.SortFunc(m.Files, func(a, b manifestFile) int { return strings.Compare(a.Name, b.Name) })
	return m, nil
}

func readManifest(ctx context.Context, s Reader, prefix string) (m manifest, found bool, err error) {
	object, err := s.Open(ctx, prefix+manifestName)
	if fault.CodeOf(err) == fault.NotFound {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	defer object.Close()
	text, err := io.ReadAll(io.LimitReader(object, maxManifest))
	if err != nil {
		return m, false, fmt.Errorf("read %s%s: %w", prefix, manifestName, err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, false, fmt.Errorf("read %s%s: %w", prefix, manifestName, err)
	}
	for _, file := range m.Files {
		// It names files on our disk, and may come from another machine.
		if file.Size < 0 || !filepath.IsLocal(filepath.FromSlash(file.Name)) || CheckName(prefix+file.Name) != nil {
			return m, false, fault.New(fault.Internal, "the list of files in %q is damaged", prefix)
		}
	}
	return m, true, nil
}

// upload puts each file, then the manifest.
func upload(ctx context.Context, s Store, prefix, dir string, m manifest) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(transfers)
	for _, file := range m.Files {
		group.Go(func() error {
			in, err := os.Open(filepath.Join(dir, filepath.FromSlash(file.Name)))
			if err != nil {
				return err
			}
			defer in.Close()
			info, err := s.Put(groupCtx, prefix+file.Name, in)
			if err == nil && info.Size != file.Size {
				return fmt.Errorf("%s changed while it was stored", in.Name())
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("store folder %q: %w", prefix, err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = s.Put(ctx, prefix+manifestName, strings.NewReader(string(text)))
	return err
}

// adopt renames dir to the folder of prefix, which is absent. It reports false, and
// leaves dir as it is, when that is on another file system or somebody else made the
// folder meanwhile.
func (f *FS) adopt(prefix, dir string, m manifest) (adopted bool, err error) {
	text, err := json.Marshal(m)
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(filepath.Join(dir, manifestName), text, 0o644); err != nil {
		return false, fmt.Errorf("store folder %q: %w", prefix, storageError(err))
	}
	if err := syncTree(dir); err != nil {
		return false, fmt.Errorf("store folder %q: %w", prefix, err)
	}
	name := strings.TrimSuffix(prefix, "/")
	f.folders.RLock()
	defer f.folders.RUnlock()
	if err := f.makeFolder(path.Dir(name)); err != nil {
		return false, err
	}
	// The target is a name of ours inside the root: DeleteAll and makeFolder saw its
	// parts. A folder that is not empty is not replaced.
	err = os.Rename(dir, filepath.Join(f.dir, filepath.FromSlash(name)))
	if errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store folder %q: %w", prefix, storageError(err))
	}
	return true, f.syncFolder(path.Dir(name))
}

// syncTree syncs each file and folder below dir, and dir.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(full string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := os.Open(full)
		if err != nil {
			return err
		}
		defer file.Close()
		return storageError(file.Sync())
	})
}

// GetFolder brings what [PutFolder] stored below prefix into the folder dir, which is
// made and must not be there yet, and reports whether there was anything. It appears
// whole or not at all. On the store's own file system the files are hard links to the
// objects: they must not be changed.
func GetFolder(ctx context.Context, s Store, prefix, dir string) (found bool, err error) {
	if err := CheckPrefix(prefix); err != nil {
		return false, err
	}
	m, found, err := readManifest(ctx, s, prefix)
	if !found || err != nil {
		return false, err
	}
	temp := dir + ".part"
	if err := errors.Join(os.RemoveAll(temp), os.MkdirAll(temp, 0o755)); err != nil {
		return false, storageError(err)
	}
	defer os.RemoveAll(temp)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(transfers)
	for _, file := range m.Files {
		group.Go(func() error {
			return fetchFile(groupCtx, s, prefix+file.Name, filepath.Join(temp, filepath.FromSlash(file.Name)), file.Size)
		})
	}
	err = group.Wait()
	if fault.CodeOf(err) == fault.NotFound {
		return false, nil // deleted meanwhile
	}
	if err != nil {
		return false, fmt.Errorf("fetch folder %q: %w", prefix, err)
	}
	return true, os.Rename(temp, dir)
}

// fetchFile brings an object of a known size to a new local file.
func fetchFile(ctx context.Context, s Store, name, target string, size int64) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return storageError(err)
	}
	object, err := s.Open(ctx, name)
	if err != nil {
		return err
	}
	defer object.Close()
	if object.Info().Size != size {
		return fault.New(fault.Conflict, "%q has %d bytes, its folder says %d", name, object.Info().Size, size)
	}
	if f, ok := s.(*FS); ok && os.Link(filepath.Join(f.dir, filepath.FromSlash(name)), target) == nil {
		return nil
	}
	out, err := os.Create(target)
	if err != nil {
		return storageError(err)
	}
	defer out.Close()
	n, err := io.Copy(out, object)
	if err != nil {
		return fmt.Errorf("fetch %q: %w", name, storageError(err))
	}
	if n != size {
		return fmt.Errorf("fetch %q: %d of %d bytes: %w", name, n, size, io.ErrUnexpectedEOF)
	}
	return out.Close()
}
