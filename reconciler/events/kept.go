package events

import "time"

// Kept is an event as one process image hands it to the next.
type Kept struct {
	Service string    `json:"service,omitempty"`
	Ordinal int32     `json:"ordinal,omitempty"`
	Count   int32     `json:"count"`
	Warning bool      `json:"warning,omitempty"`
	Reason  string    `json:"reason"`
	Message []byte    `json:"message"` // whatever its bytes are
	Public  []byte    `json:"public,omitempty"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	UID     uint64    `json:"uid"`
}

// Keep tells all events for NewRing.
func (r *Ring) Keep() []Kept {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Kept, 0, len(r.events))
	for _, e := range r.events {
		all = append(all, Kept{e.service, e.ordinal, e.count, e.warning, e.reason, []byte(e.message), []byte(e.public), e.first, e.last, e.uid})
	}
	return all
}

func (k *Kept) event() event {
	return event{
		service: k.Service, ordinal: k.Ordinal, count: k.Count, warning: k.Warning, reason: k.Reason, message: string(k.Message), public: string(k.Public),
		first: k.First, last: k.Last, uid: k.UID,
	}
}
