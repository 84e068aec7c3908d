package main

import (
	"encoding/json"
	"fmt"
	"time"

	"svc.d/status"
)

// object is one object of any kind.
type object struct {
	meta status.Metadata
	raw  json.RawMessage
}

func newObject(raw json.RawMessage) (object, error) {
	var head struct {
		Metadata status.Metadata `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return object{}, fmt.Errorf("cannot read the daemon's answer: %w", err)
	}
	return object{head.Metadata, raw}, nil
}

// row is the object in the columns of its kind.
func (o *object) row(k kind, now time.Time, wide bool) ([]string, error) {
	var err error
	switch k {
	case kindReplicas:
		var r status.ReplicaObject
		if err = json.Unmarshal(o.raw, &r); err == nil {
			return r.Row(now, wide), nil
		}
	case kindEvents:
		var e status.Event
		if err = json.Unmarshal(o.raw, &e); err == nil {
			return e.Row(now), nil
		}
	default:
		var s status.Service
		if err = json.Unmarshal(o.raw, &s); err == nil {
			return s.Row(now, wide), nil
		}
	}
	return nil, fmt.Errorf("cannot read the daemon's answer: %w", err)
}
