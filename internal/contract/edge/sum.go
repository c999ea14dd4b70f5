package edge

import "strconv"

// Mark is what a site or a node at a revision adds to [Delta.Sum]: FNV-1a of both.
func Mark(id string, revision int64) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	hash := uint64(offset)
	for _, b := range strconv.AppendInt(append([]byte(id), ' '), revision, 10) {
		hash = (hash ^ uint64(b)) * prime
	}
	return hash
}
