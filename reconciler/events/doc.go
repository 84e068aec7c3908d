// Package events keeps the latest of what has happened, as Kubernetes' events do. What
// happens again is one event with a count; what differs each time becomes one, too,
// after the tenth, as Kubernetes' EventAggregator has it.
package events
