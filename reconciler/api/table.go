package api

import (
	"encoding/json"
	"mime"
	"net/http"
	"runtime"
	"strings"
	"time"

	"svc.d/status"
)

// What a row of a table may have of its object, as Kubernetes' includeObject says it.
const (
	includeNone     = "None"
	includeMetadata = "Metadata" // the default
	includeObject   = "Object"
)

const tableKind = "Table"

// wantsTable reports whether a request accepts Kubernetes' Table rather than objects.
func wantsTable(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept") {
		for clause := range strings.SplitSeq(header, ",") {
			kind, parameters, err := mime.ParseMediaType(clause)
			if err != nil || kind != "application/json" && kind != "application/*" && kind != "*/*" {
				continue
			}
			if parameters["as"] == "" {
				return false
			}
			if group, version, _ := strings.Cut(status.TableVersion, "/"); parameters["as"] == tableKind && parameters["g"] == group && parameters["v"] == version {
				return true
			}
		}
	}
	return false
}

// columns are those of a kind's table: what a wide one has besides comes last.
func (k *kind) columns() []status.Column {
	header, usual := status.ServiceHeader(true), len(status.ServiceHeader(false))
	switch k {
	case replicas:
		header, usual = status.ReplicaHeader(true), len(status.ReplicaHeader(false))
	case happenings:
		header, usual = status.EventHeader(), len(status.EventHeader())
	}
	all := make([]status.Column, len(header))
	for n, name := range header {
		all[n] = status.Column{Name: name, Type: "string"}
		if n >= usual {
			all[n].Priority = 1
		}
		if name == "NAME" {
			all[n].Format = "name"
		}
	}
	return all
}

// table is the list as rows.
func (l *objectList) table(include string, now time.Time) *status.RowList {
	t := &status.RowList{
		Kind: tableKind, APIVersion: status.TableVersion, Metadata: status.ListMeta{ResourceVersion: version(l.revision)},
		Columns: l.kind.columns(), Rows: make([]status.Row, len(l.items)),
	}
	for n, c := range l.items {
		runtime.Gosched() // as in writeList
		t.Rows[n] = status.Row{Cells: c.now.row(now, l.sight), Object: c.part(include, l.sight)}
	}
	return t
}

// part is as much of what is now as a row of a table has.
func (c *change) part(include string, as sight) json.RawMessage {
	var text []byte
	switch include {
	case includeNone:
	case includeObject:
		text, _ = c.encode(false, as) // it can be encoded: lists are made of it
	default:
		meta := *c.now.meta()
		if as == redacted {
			meta.Annotations = redactAnnotations(meta.Annotations)
		}
		text, _ = json.Marshal(status.PartialObject{Kind: "PartialObjectMetadata", APIVersion: status.TableVersion, Metadata: meta})
	}
	return text
}

// show is one object as it is sent to who asks.
func (s *Server) show(r *http.Request, k *kind, o object) any {
	as := s.sightOf(r)
	if !wantsTable(r) {
		return o.shown(as)
	}
	l := &objectList{kind: k, revision: revisionOf(o.meta().ResourceVersion), items: []*change{{now: o}}, sight: as}
	return l.table(r.URL.Query().Get("includeObject"), time.Now())
}
