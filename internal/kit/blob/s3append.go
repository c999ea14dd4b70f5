package blob

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"liuyun/internal/base/fault"
)

// What an Appender has gathered on S3 is a multipart upload of the final name, whose
// id is the object .append/NAME/upload, and what is too short for a part is the object
// .append/NAME/tail-OFFSET. A tail counts only when it begins where the parts end: an
// older one is a leftover.
const (
	uploadLeaf = "upload"
	tailLeaf   = "tail-"
)

// settleTime is how long storing the rest of a broken Append may take.
const settleTime = time.Minute

// gathered is what is stored of a name that is not sealed.
type gathered struct {
	upload string // id of the multipart upload, or empty
	parts  []minio.CompletePart
	size   int64 // of the parts
	tail   int64
	sealed bool // the upload was completed, only our notes are left
}

func (g *gathered) total() int64 { return g.size + g.tail }

func gatherFolder(name string) string { return appendFolder + "/" + name + "/" }

func tailName(name string, offset int64) string {
	return gatherFolder(name) + tailLeaf + strconv.FormatInt(offset, 10)
}

// partSize grows, so that small uploads need little scratch and 10,000 parts are enough
// for more than a terabyte.
func partSize(number int) int64 {
	switch {
	case number <= 1000:
		return 8 << 20
	case number <= 4000:
		return 64 << 20
	default:
		return 256 << 20
	}
}

const maxParts = 10_000

// load asks the server what is gathered.
func (s *S3) load(ctx context.Context, name string) (g gathered, err error) {
	tails := make(map[int64]int64)
	folder := gatherFolder(name)
	noted := false
	err = s.list(ctx, folder, func(info Info) error {
		leaf := strings.TrimPrefix(info.Name, folder)
		if leaf == uploadLeaf {
			noted = true
		} else if text, ok := strings.CutPrefix(leaf, tailLeaf); ok {
			if offset, err := strconv.ParseInt(text, 10, 64); err == nil {
				tails[offset] = info.Size
			}
		}
		return nil
	})
	if err != nil {
		return g, err
	}
	if noted {
		err := s.loadParts(ctx, name, &g)
		if fault.CodeOf(err) == fault.NotFound {
			return gathered{sealed: true}, nil
		}
		if err != nil {
			return g, err
		}
	}
	g.tail = tails[g.size]
	return g, nil
}

func (s *S3) loadParts(ctx context.Context, name string, g *gathered) error {
	text, err := s.readSmall(ctx, gatherFolder(name)+uploadLeaf)
	if err != nil {
		return err
	}
	g.upload = text
	for marker := 0; ; {
		page, err := s.core.ListObjectParts(ctx, s.bucket, s.prefix+name, g.upload, marker, 1000)
		if err != nil {
			return s.explain(ctx, name, err)
		}
		for _, part := range page.ObjectParts {
			if part.PartNumber != len(g.parts)+1 {
				return fault.New(fault.Internal, "%q has no part %d on S3", name, len(g.parts)+1)
			}
			g.parts = append(g.parts, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag,
				ChecksumCRC32: part.ChecksumCRC32, ChecksumCRC32C: part.ChecksumCRC32C, ChecksumSHA1: part.ChecksumSHA1,
				ChecksumSHA256: part.ChecksumSHA256, ChecksumCRC64NVME: part.ChecksumCRC64NVME})
			g.size += part.Size
		}
		if !page.IsTruncated {
			return nil
		}
		marker = page.NextPartNumberMarker
	}
}

func (s *S3) readSmall(ctx context.Context, name string) (string, error) {
	body, _, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return "", s.explain(ctx, name, err)
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, 4<<10))
	return string(text), err
}

// Append gathers a part in a scratch file before it is sent, so that a request that
// fails can be tried again. What is too short for a part is stored as the tail.
func (s *S3) Append(ctx context.Context, name string, offset int64, r io.Reader) (written int64, err error) {
	if err := CheckName(name); err != nil {
		return 0, err
	}
	g, err := s.load(ctx, name)
	if err != nil {
		return 0, err
	}
	if g.sealed || g.total() != offset {
		return 0, offsetConflict(g.total(), offset)
	}
	spool, err := s.spool(ctx, name, &g)
	if err != nil {
		return 0, err
	}
	defer spool.Close()
	have, kept := g.tail, g.tail // in the spool; of which the server has
	for {
		limited := &io.LimitedReader{R: &roomyReader{r: r, reserve: s.reserve}, N: partSize(len(g.parts)+1) - have}
		n, readErr := io.Copy(spool, limited)
		have += n
		if readErr == nil && limited.N == 0 {
			if err := s.sendPart(ctx, name, &g, spool, have); err != nil {
				return g.size + kept - offset, err
			}
			have, kept = 0, 0
			if _, err := spool.Seek(0, io.SeekStart); err != nil {
				return g.size - offset, err
			}
			continue
		}
		// r has ended or failed: what came is stored in any case.
		if have > kept {
			settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
			err = s.put(settle, tailName(name, g.size), io.NewSectionReader(spool, 0, have), have)
			cancel()
			if err != nil {
				return g.size + kept - offset, err
			}
		}
		return g.size + have - offset, storageError(readErr)
	}
}

// spool makes the scratch file, filled with the present tail. It has no name, so that
// nothing is left when the process is killed.
func (s *S3) spool(ctx context.Context, name string, g *gathered) (*os.File, error) {
	file, err := os.CreateTemp(s.scratch, "part-")
	if err != nil {
		return nil, fmt.Errorf("scratch file: %w", storageError(err))
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, fmt.Errorf("scratch file: %w", err)
	}
	if g.tail == 0 {
		return file, nil
	}
	body, _, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+tailName(name, g.size), minio.GetObjectOptions{})
	if err != nil {
		file.Close()
		return nil, s.explain(ctx, name, err)
	}
	defer body.Close()
	n, err := io.Copy(file, body)
	if err == nil && n != g.tail {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("fetch the tail of %q: %w", name, storageError(err))
	}
	return file, nil
}

// sendPart stores the first size bytes of the spool as the next part. The tail that
// was its beginning no longer counts.
func (s *S3) sendPart(ctx context.Context, name string, g *gathered, spool *os.File, size int64) error {
	if len(g.parts) == maxParts {
		return fault.New(fault.Limit, "%q is larger than S3 takes in %d parts", name, maxParts)
	}
	if g.upload == "" {
		id, err := s.core.NewMultipartUpload(ctx, s.bucket, s.prefix+name, minio.PutObjectOptions{ContentType: "application/octet-stream"})
		if err != nil {
			return s.explain(ctx, name, err)
		}
		if err := s.put(ctx, gatherFolder(name)+uploadLeaf, strings.NewReader(id), int64(len(id))); err != nil {
			return err
		}
		g.upload = id
	}
	part, err := s.core.PutObjectPart(ctx, s.bucket, s.prefix+name, g.upload, len(g.parts)+1,
		io.NewSectionReader(spool, 0, size), size, minio.PutObjectPartOptions{})
	if err != nil {
		return s.explain(ctx, name, err)
	}
	if g.tail > 0 {
		if err := s.remove(ctx, tailName(name, g.size)); err != nil {
			return err
		}
	}
	g.parts = append(g.parts, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag,
		ChecksumCRC32: part.ChecksumCRC32, ChecksumCRC32C: part.ChecksumCRC32C, ChecksumSHA1: part.ChecksumSHA1,
		ChecksumSHA256: part.ChecksumSHA256, ChecksumCRC64NVME: part.ChecksumCRC64NVME})
	g.size, g.tail = g.size+size, 0
	return nil
}

// put stores one of our own notes, in one request.
func (s *S3) put(ctx context.Context, name string, r io.Reader, size int64) error {
	_, err := s.core.Client.PutObject(ctx, s.bucket, s.prefix+name, r, size, minio.PutObjectOptions{DisableMultipart: true})
	return s.explain(ctx, name, err)
}

// Appended says what is gathered.
func (s *S3) Appended(ctx context.Context, name string) (int64, error) {
	if err := CheckName(name); err != nil {
		return 0, err
	}
	g, err := s.load(ctx, name)
	return g.total(), err
}

// Seal completes the multipart upload.
func (s *S3) Seal(ctx context.Context, name string, size int64) (Info, error) {
	if err := CheckName(name); err != nil {
		return Info{}, err
	}
	g, err := s.load(ctx, name)
	switch {
	case err != nil:
		return Info{}, err
	case g.sealed || g.total() == 0:
		info, err := sealedBefore(ctx, s, name, size)
		if err != nil {
			return Info{}, err
		}
		return info, s.removeAll(ctx, gatherFolder(name))
	case g.total() != size:
		return Info{}, sizeConflict(name, g.total(), size)
	}
	if g.tail > 0 {
		spool, err := s.spool(ctx, name, &g)
		if err != nil {
			return Info{}, err
		}
		defer spool.Close()
		if g.upload == "" {
			err = s.put(ctx, name, io.NewSectionReader(spool, 0, size), size)
		} else {
			err = s.sendPart(ctx, name, &g, spool, g.tail)
		}
		if err != nil {
			return Info{}, err
		}
	}
	if g.upload != "" {
		if _, err := s.core.CompleteMultipartUpload(ctx, s.bucket, s.prefix+name, g.upload, g.parts, minio.PutObjectOptions{}); err != nil {
			return Info{}, s.explain(ctx, name, err)
		}
	}
	if err := s.removeAll(ctx, gatherFolder(name)); err != nil {
		return Info{}, err
	}
	return s.Stat(ctx, name)
}

// Abort drops the parts and our notes.
func (s *S3) Abort(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	id, err := s.readSmall(ctx, gatherFolder(name)+uploadLeaf)
	if err == nil {
		err = s.explain(ctx, name, s.core.AbortMultipartUpload(ctx, s.bucket, s.prefix+name, id))
	}
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return err
	}
	return s.removeAll(ctx, gatherFolder(name))
}
