package status

import "encoding/json"

// ReplicaObject is one process of a service as an object of its own. What it is like
// is declared by its service.
type ReplicaObject struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"` // Replica
	Metadata   Metadata    `json:"metadata"`
	Spec       ReplicaSpec `json:"spec"`
	Status     Replica     `json:"status"`
}

// ReplicaSpec says whose replica it is.
type ReplicaSpec struct {
	Service string `json:"service"`
	Ordinal int32  `json:"ordinal"`
}

// ReplicaObjectList is a list of replicas in order of services and ordinals.
type ReplicaObjectList struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"` // ReplicaList
	Metadata   ListMeta        `json:"metadata"`
	Items      []ReplicaObject `json:"items"`
}

// The labels that a replica has besides those of its service.
const (
	LabelService = "svc.d/service"
	LabelOrdinal = "svc.d/ordinal"
)

// WatchEvent is one line of the answer to a watch. Object is an object of the kind
// that is watched, of a BOOKMARK one with nothing but its kind and
// resourceVersion, of an ERROR a Failure.
type WatchEvent struct {
	Type   WatchType       `json:"type"`
	Object json.RawMessage `json:"object"`
}

// WatchType is what has become of an object, in Kubernetes' words.
type WatchType string

// The types.
const (
	WatchAdded    WatchType = "ADDED"
	WatchModified WatchType = "MODIFIED"
	WatchDeleted  WatchType = "DELETED"
	WatchBookmark WatchType = "BOOKMARK"
	WatchError    WatchType = "ERROR"
)
