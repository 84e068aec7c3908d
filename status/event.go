package status

import "time"

// Event is something that happened to a service or a replica, or to the directory.
// It has the shape of Kubernetes' core/v1 Event. What happens again and again is
// one event with a count.
type Event struct {
	APIVersion     string          `json:"apiVersion"`
	Kind           string          `json:"kind"` // Event
	Metadata       Metadata        `json:"metadata"`
	InvolvedObject ObjectReference `json:"involvedObject"`
	// Reason is one CamelCase word of a documented list, Message a sentence.
	Reason         string      `json:"reason"`
	Message        string      `json:"message"`
	Source         EventSource `json:"source"`
	FirstTimestamp time.Time   `json:"firstTimestamp"`
	LastTimestamp  time.Time   `json:"lastTimestamp"`
	Count          int32       `json:"count"`
	Type           EventType   `json:"type"`
	// Public is the message for those who may not see everything; empty: the same. It is
	// not sent.
	Public string `json:"-"`
}

// EventList is a list of events in order of their last time.
type EventList struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"` // EventList
	Metadata   ListMeta `json:"metadata"`
	Items      []Event  `json:"items"`
}

// ObjectReference is what an event is about: kind Service, Replica or Daemon.
type ObjectReference struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// EventSource is who tells.
type EventSource struct {
	Component string `json:"component"`
}

// EventType is Normal or Warning.
type EventType string

// The types.
const (
	EventNormal  EventType = "Normal"
	EventWarning EventType = "Warning"
)
