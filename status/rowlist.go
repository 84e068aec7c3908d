package status

import "encoding/json"

// RowList is a list of objects as rows of text. It has the shape of Kubernetes'
// meta.k8s.io/v1 Table.
type RowList struct {
	Kind       string   `json:"kind"` // Table
	APIVersion string   `json:"apiVersion"`
	Metadata   ListMeta `json:"metadata"`
	Columns    []Column `json:"columnDefinitions"`
	Rows       []Row    `json:"rows"`
}

// Column names a column of a RowList.
type Column struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Format      string `json:"format"`
	Description string `json:"description"`
	// Priority is 0 for what is always shown, and above for what only a wide table has.
	Priority int32 `json:"priority"`
}

// Row is an object in the columns of a RowList, in their order, with as much of the object
// itself as was asked for: nothing, its metadata (a PartialObject) or all of it.
type Row struct {
	Cells  []string        `json:"cells"`
	Object json.RawMessage `json:"object,omitempty"`
}

// PartialObject is the metadata of an object, in the shape of Kubernetes'
// meta.k8s.io/v1 PartialObjectMetadata.
type PartialObject struct {
	Kind       string   `json:"kind"` // PartialObjectMetadata
	APIVersion string   `json:"apiVersion"`
	Metadata   Metadata `json:"metadata"`
}

// TableVersion is the apiVersion of RowList and PartialObject.
const TableVersion = "meta.k8s.io/v1"
