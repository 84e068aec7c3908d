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

// form is how objects are sent.
type form uint8

const (
	inObjects form = iota
	inRows         // as Kubernetes' Table
	inText         // as people see them
)

// formOf is the form that a request accepts: the first one that there is, or objects.
func formOf(r *http.Request) form {
	for _, header := range r.Header.Values("Accept") {
		for clause := range strings.SplitSeq(header, ",") {
			kind, parameters, err := mime.ParseMediaType(clause)
			switch {
			case err != nil:
			case kind == "text/plain":
				return inText
			case kind != inJSON && kind != "application/*" && kind != "*/*":
			case parameters["as"] == "":
				return inObjects
			case parameters["as"] == tableKind && parameters["g"]+"/"+parameters["v"] == status.TableVersion:
				return inRows
			}
		}
	}
	return inObjects
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
		t.Rows[n] = status.Row{Cells: c.now.row(now, true, l.sight), Object: c.part(include, l.sight)}
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

// text is the list as people see it; without objects it is empty.
func (l *objectList) text(now time.Time) string {
	if len(l.items) == 0 {
		return ""
	}
	var out strings.Builder
	t := status.NewTable(&out)
	var header []string
	for _, c := range l.kind.columns() {
		if c.Priority == 0 {
			header = append(header, c.Name)
		}
	}
	t.Row(header...)
	for _, c := range l.items {
		runtime.Gosched() // as in writeList
		t.Row(c.now.row(now, false, l.sight)...)
	}
	_ = t.Flush() // a builder takes everything
	return out.String()
}

// in is the list in the form that a request accepts.
func (l *objectList) in(f form, include string) any {
	switch f {
	case inRows:
		return l.table(include, time.Now())
	case inText:
		return l.text(time.Now())
	default:
		return l
	}
}

// show is one object as it is sent to who asks.
func (s *Server) show(r *http.Request, k *kind, o object) any {
	as, f := s.sightOf(r), formOf(r)
	if f == inObjects {
		return o.shown(as)
	}
	l := &objectList{kind: k, revision: revisionOf(o.meta().ResourceVersion), items: []*change{{now: o}}, sight: as}
	return l.in(f, r.URL.Query().Get("includeObject"))
}
