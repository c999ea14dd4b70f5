// Package ingest is what the queue carries about sources that we fetch ourselves.
package ingest

// Import is the kind of job that fetches a source.
const Import = "import"

// Request is the payload of an import.
type Request struct {
	Asset  string `json:"asset"`
	URL    string `json:"url"`    // http or https
	Object string `json:"object"` // the name that the source gets in the blob store
}

// Result is what an import has stored.
type Result struct {
	Object string `json:"object"`
	Size   int64  `json:"size"`
	Name   string `json:"name"` // of the file, as the address ends; may be empty
}
