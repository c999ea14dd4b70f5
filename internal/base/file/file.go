// Package file writes files so that a kill or a power cut leaves the old one or the new
// one, and never half of one.
package file

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteWhole writes a small file that is there whole or as it was before, and durable when
// it returns. Of one path there is one writer at a time: what a killed one has left beside
// it is written over by the next.
func WriteWhole(path string, data []byte, mode os.FileMode) error {
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
	out, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer os.Remove(part) // gone already when all went well
	_, err = out.Write(data)
	err = errors.Join(err, out.Chmod(mode), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
