package status

import "time"

// Metadata is the part of Kubernetes' ObjectMeta that has a meaning here.
type Metadata struct {
	Name string `json:"name"`
	// UID tells an object from one of the same name that was there before it.
	UID         string            `json:"uid,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// ResourceVersion tells one state of the object from another. Of two it is the
	// later that has the higher number, also over restarts of the daemon.
	ResourceVersion string `json:"resourceVersion,omitempty"`
	// Generation counts the accepted edits of the manifest since the daemon
	// started.
	Generation int64 `json:"generation,omitempty"`
	// CreationTimestamp is when the daemon first saw it declared; of a replica, when
	// its process started.
	CreationTimestamp time.Time `json:"creationTimestamp,omitzero"`
	// OwnerReferences names the service of a replica.
	OwnerReferences []OwnerReference `json:"ownerReferences,omitempty"`
}

// OwnerReference is the object that an object belongs to.
type OwnerReference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Controller bool   `json:"controller"`
}

// ListMeta is the part of Kubernetes' ListMeta that has a meaning here.
type ListMeta struct {
	// ResourceVersion is the state of everything that the list shows; a watch from
	// there misses nothing.
	ResourceVersion string `json:"resourceVersion,omitempty"`
}
