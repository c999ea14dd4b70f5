package transcode

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// Source is the media that a job reads: random access, never changed.
type Source interface {
	io.ReaderAt
	Name() string // for people and for the report; no folder
	Size() int64
	Input() ffmpeg.Input // how a child process reads it
}

// FileSource is a file on this machine.
type FileSource struct {
	file *os.File
	name string
	size int64
}

// OpenFile opens a regular file as a source. The caller closes it.
func OpenFile(path string) (*FileSource, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not block
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.Wrap(err, fault.NotFound, "there is no file %s", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.Wrap(err, fault.Forbidden, "%s may not be read; change its permissions", path)
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "%s cannot be opened", path)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fault.New(fault.Invalid, "%s is not a file: give a video file, not a folder, pipe or device", path)
	}
	if err == nil && info.Size() == 0 {
		err = fault.New(fault.Invalid, "%s is empty (0 bytes): its upload or copy did not finish", path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &FileSource{file: file, name: filepath.Base(path), size: info.Size()}, nil
}

// ReadAt reads like os.File.
func (s *FileSource) ReadAt(p []byte, off int64) (int, error) { return s.file.ReadAt(p, off) }

// Name is the file's name without its folder.
func (s *FileSource) Name() string { return s.name }

// Size is the file's size in bytes.
func (s *FileSource) Size() int64 { return s.size }

// Input gives the open file to a child.
func (s *FileSource) Input() ffmpeg.Input { return ffmpeg.Input{File: s.file, Name: s.name} }

// Close closes the file.
func (s *FileSource) Close() error { return s.file.Close() }

const (
	fingerprintPieces = 64
	fingerprintPiece  = 64 << 10
)

// fingerprint names the content: the SHA-256 of the size and of 64 pieces of 64
// KiB spread evenly from the first byte to the last, which is all of a file up
// to 4 MiB. It tells files apart that a person would take for each other (a new
// export, a longer copy), and costs milliseconds where a hash of everything
// costs as long as reading the disk.
func fingerprint(s Source) (string, error) {
	hash := sha256.New()
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(s.Size()))
	hash.Write(size[:])
	piece := make([]byte, fingerprintPiece)
	last := max(0, s.Size()-fingerprintPiece)
	for i := range int64(fingerprintPieces) {
		offset := last * i / (fingerprintPieces - 1)
		if s.Size() <= fingerprintPieces*fingerprintPiece {
			if offset = i * fingerprintPiece; offset >= s.Size() {
				break
			}
		}
		n, err := s.ReadAt(piece, offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read %s: %w", s.Name(), err)
		}
		hash.Write(piece[:n])
	}
	return hex.EncodeToString(hash.Sum(nil)[:16]), nil
}
