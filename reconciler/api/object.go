package api

import (
	"reflect"
	"strconv"
	"time"

	"svc.d/reconciler"
	"svc.d/spec"
	"svc.d/status"
)

// kind is a kind of objects that can be listed and watched.
type kind struct {
	plural, singular string // services, Service
	short            string // svc
	// fields are those that a field selector may name.
	fields []string
}

// The kinds.
var (
	services   = &kind{"services", spec.KindService, "svc", []string{"metadata.name", "status.phase"}}
	replicas   = &kind{"replicas", "Replica", "", []string{"metadata.name", "status.phase"}}
	happenings = &kind{"events", "Event", "ev", []string{"involvedObject.kind", "involvedObject.name", "metadata.name", "reason", "type"}}
)

var kinds = []*kind{services, replicas, happenings}

// sight is how much of an object somebody sees.
type sight uint8

const (
	everything sight = iota
	redacted         // without what may be a secret
	sights
)

// object is a service, a replica or an event. It is immutable.
type object interface {
	meta() *status.Metadata
	// field is the value of one of its kind's fields.
	field(name string) string
	// row is the object in the columns of its kind's table, for who has such a sight; ages
	// are counted to now. It is the caller's own.
	row(now time.Time, wide bool, s sight) []string
	// shown is what is encoded for who has such a sight.
	shown(sight) any
	// at is the same object with another resourceVersion.
	at(revision uint64) object
}

type serviceObject struct{ *status.Service }

func (o serviceObject) meta() *status.Metadata { return &o.Metadata }

func (o serviceObject) field(name string) string {
	if name == "status.phase" {
		return string(o.Status.Phase)
	}
	return o.Metadata.Name
}

func (o serviceObject) shown(s sight) any {
	if s == everything {
		return o.Service
	}
	less := *o.Service
	less.Spec = redact(less.Spec)
	less.Metadata.Annotations = redactAnnotations(less.Metadata.Annotations)
	redactStatus(&less.Status)
	return &less
}

func (o serviceObject) at(revision uint64) object {
	other := *o.Service
	other.Metadata.ResourceVersion = version(revision)
	return serviceObject{&other}
}

func (o serviceObject) row(now time.Time, wide bool, s sight) []string {
	shown := *o.Service
	if s == redacted {
		redactStatus(&shown.Status)
	}
	return shown.Row(now, wide)
}

// sameService tells whether two reports of a service differ in nothing but the
// revision.
func sameService(a, b *status.Service) bool {
	x, y := *a, *b
	x.Metadata.ResourceVersion, y.Metadata.ResourceVersion = "", ""
	return reflect.DeepEqual(&x, &y)
}

type replicaObject struct{ *status.ReplicaObject }

func (o replicaObject) meta() *status.Metadata { return &o.Metadata }

func (o replicaObject) field(name string) string {
	if name == "status.phase" {
		return string(o.Status.Phase)
	}
	return o.Metadata.Name
}

func (o replicaObject) shown(s sight) any {
	if s == everything {
		return o.ReplicaObject
	}
	less := *o.ReplicaObject
	redactReplica(&less.Status)
	return &less
}

func (o replicaObject) at(revision uint64) object {
	other := *o.ReplicaObject
	other.Metadata.ResourceVersion = version(revision)
	return replicaObject{&other}
}

func (o replicaObject) row(now time.Time, wide bool, s sight) []string {
	return o.shown(s).(*status.ReplicaObject).Row(now, wide)
}

func sameReplica(a, b *status.ReplicaObject) bool {
	x, y := *a, *b
	x.Metadata.ResourceVersion, y.Metadata.ResourceVersion = "", ""
	return reflect.DeepEqual(&x, &y)
}

// replicasOf are the replicas of a service as objects of their own, in order of
// their ordinals.
func replicasOf(s *status.Service) []*status.ReplicaObject {
	all := make([]*status.ReplicaObject, 0, len(s.Status.ReplicaStatuses))
	for n := range s.Status.ReplicaStatuses {
		all = append(all, replicaOf(s, &s.Status.ReplicaStatuses[n]))
	}
	return all
}

func replicaOf(s *status.Service, r *status.Replica) *status.ReplicaObject {
	ordinal := strconv.FormatInt(int64(r.Ordinal), 10)
	labels := make(map[string]string, len(s.Metadata.Labels)+2)
	for key, value := range s.Metadata.Labels {
		labels[key] = value
	}
	labels[status.LabelService], labels[status.LabelOrdinal] = s.Metadata.Name, ordinal
	o := &status.ReplicaObject{
		APIVersion: spec.APIVersion, Kind: replicas.singular,
		Metadata: status.Metadata{
			Name: r.Name, Labels: labels, ResourceVersion: s.Metadata.ResourceVersion, CreationTimestamp: r.Started,
			OwnerReferences: []status.OwnerReference{{
				APIVersion: spec.APIVersion, Kind: spec.KindService, Name: s.Metadata.Name, UID: s.Metadata.UID, Controller: true,
			}},
		},
		Spec:   status.ReplicaSpec{Service: s.Metadata.Name, Ordinal: r.Ordinal},
		Status: *r,
	}
	if s.Metadata.UID != "" {
		o.Metadata.UID = s.Metadata.UID + "-" + ordinal
	}
	return o
}

// replicaIn finds a replica of a service; nil is none.
func replicaIn(s *status.Service, id reconciler.ReplicaID) *status.ReplicaObject {
	for n := range s.Status.ReplicaStatuses {
		if r := &s.Status.ReplicaStatuses[n]; r.Ordinal == id.Ordinal {
			return replicaOf(s, r)
		}
	}
	return nil
}

type eventObject struct{ *status.Event }

func (o eventObject) meta() *status.Metadata { return &o.Metadata }

func (o eventObject) field(name string) string {
	switch name {
	case "involvedObject.kind":
		return o.InvolvedObject.Kind
	case "involvedObject.name":
		return o.InvolvedObject.Name
	case "reason":
		return o.Reason
	case "type":
		return string(o.Type)
	default:
		return o.Metadata.Name
	}
}

func (o eventObject) shown(s sight) any {
	if s == everything || o.Public == "" {
		return o.Event
	}
	less := *o.Event
	less.Message = less.Public
	return &less
}

func (o eventObject) at(revision uint64) object {
	other := *o.Event
	other.Metadata.ResourceVersion = version(revision)
	return eventObject{&other}
}

func (o eventObject) row(now time.Time, _ bool, s sight) []string {
	return o.shown(s).(*status.Event).Row(now)
}

func version(revision uint64) string { return strconv.FormatUint(revision, 10) }

// revisionOf is the number in a resourceVersion; 0 is none.
func revisionOf(resourceVersion string) uint64 {
	n, _ := strconv.ParseUint(resourceVersion, 10, 64)
	return n
}
