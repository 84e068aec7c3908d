package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"svc.d/spec"
	"svc.d/status"
)

// printer writes objects in the form of -o.
type printer struct {
	out        io.Writer
	now        func() time.Time
	form       string // "", wide, json, yaml, name, jsonpath or custom-columns
	template   template
	columns    []column
	sortBy     template
	noHeaders  bool
	showLabels bool
	showKind   bool // several kinds are shown
	showTypes  bool // of the events of a watch

	table   *status.Table
	written bool
}

// column is one of -o custom-columns.
type column struct {
	name string
	path template
}

// outputs are the forms that -o takes.
const outputs = "json, yaml, wide, name, jsonpath=TEMPLATE or custom-columns=NAME:PATH,..."

func (a *app) newPrinter(output string, noHeaders, showLabels bool, sortBy string) (*printer, error) {
	p := &printer{out: a.stdout, now: a.now, noHeaders: noHeaders, showLabels: showLabels}
	form, rest, given := strings.Cut(output, "=")
	p.form = form
	var err error
	switch {
	case slices.Contains([]string{"", "json", "yaml", "wide", "name"}, form) && !given:
	case form == "jsonpath":
		p.template, err = parseTemplate("output jsonpath", rest)
	case form == "custom-columns":
		p.columns, err = parseColumns(rest)
	default:
		err = fmt.Errorf("cannot use --output %q: it must be one of %s", output, outputs)
	}
	if err == nil && sortBy != "" {
		p.sortBy, err = parseTemplate("sort-by", sortBy)
	}
	if err == nil && showLabels && form != "" && form != "wide" {
		err = errors.New("cannot show labels but in a table: leave --show-labels out, or -o")
	}
	return p, err
}

// parseColumns reads "NAME:.metadata.name,PHASE:.status.phase".
func parseColumns(text string) ([]column, error) {
	var columns []column
	for part := range strings.SplitSeq(text, ",") {
		name, path, ok := strings.Cut(part, ":")
		if !ok || name == "" || path == "" {
			return nil, fmt.Errorf("cannot use --output custom-columns=%s: columns are given as in custom-columns=NAME:.metadata.name,PHASE:.status.phase", text)
		}
		parsed, err := parseTemplate("output custom-columns", path)
		if err != nil {
			return nil, err
		}
		columns = append(columns, column{name, parsed})
	}
	return columns, nil
}

// isTable tells whether people read it line by line.
func (p *printer) isTable() bool { return p.form == "" || p.form == "wide" }

// sort orders objects by the path of --sort-by.
func (p *printer) sort(objects []object) error {
	if p.sortBy == nil {
		return nil
	}
	type keyed struct {
		object
		key any
	}
	found := false
	all := make([]*keyed, len(objects))
	for i := range objects {
		data, err := decoded(objects[i].raw)
		if err != nil {
			return err
		}
		values, err := p.sortBy.find(data)
		if err != nil {
			return err
		}
		all[i] = &keyed{object: objects[i]}
		if len(values) > 0 {
			all[i].key, found = values[0], true
		}
	}
	if !found && len(objects) > 0 {
		return errors.New("cannot sort: nothing has the field of --sort-by; `reconciler get -o yaml` shows which there are")
	}
	slices.SortStableFunc(all, func(a, b *keyed) int { return compareValues(a.key, b.key) })
	for i := range all {
		objects[i] = all[i].object
	}
	return nil
}

// list writes all objects of a kind. A single one that was asked for by its name is
// not put into a list, as in kubectl.
func (p *printer) list(g *group, single bool) error {
	if p.isTable() || p.form == "name" || p.form == "custom-columns" {
		return p.rows(g.kind, g.objects, nil)
	}
	var value any = listOf(g)
	if single {
		value = g.objects[0].raw
	}
	return p.value(value)
}

// rawList is a list of objects as they came.
type rawList struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   status.ListMeta   `json:"metadata"`
	Items      []json.RawMessage `json:"items"`
}

func listOf(g *group) rawList {
	l := rawList{APIVersion: spec.APIVersion, Kind: kindNames[g.kind] + "List", Metadata: status.ListMeta{ResourceVersion: g.revision}, Items: []json.RawMessage{}}
	for i := range g.objects {
		l.Items = append(l.Items, g.objects[i].raw)
	}
	return l
}

// kindNames are what objects call their own kind.
var kindNames = map[kind]string{kindServices: "Service", kindReplicas: "Replica", kindEvents: "Event"}

// value writes one document.
func (p *printer) value(value any) error {
	switch p.form {
	case "json":
		return writeJSON(p.out, value)
	case "yaml":
		if p.written {
			fmt.Fprintln(p.out, "---")
		}
		p.written = true
		return writeYAML(p.out, value)
	default:
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("cannot encode the objects: %w", err)
		}
		data, err := decoded(text)
		if err != nil {
			return err
		}
		return p.template.write(p.out, data)
	}
}

// changed writes one object of a watch, and what became of it.
func (p *printer) changed(k kind, o object, what status.WatchType) error {
	if p.isTable() || p.form == "name" || p.form == "custom-columns" {
		return p.rows(k, []object{o}, []status.WatchType{what})
	}
	if !p.showTypes {
		return p.value(o.raw)
	}
	return p.value(status.WatchEvent{Type: what, Object: o.raw})
}

// rows writes one line for each object. Later ones keep the columns of those before.
func (p *printer) rows(k kind, objects []object, types []status.WatchType) error {
	if p.form == "name" {
		for i := range objects {
			if _, err := fmt.Fprintln(p.out, prefixOf(k)+objects[i].meta.Name); err != nil {
				return err
			}
		}
		return nil
	}
	if p.table == nil {
		p.table = status.NewTable(p.out)
		if !p.noHeaders {
			p.table.Row(p.header(k)...)
		}
	}
	for i := range objects {
		cells, err := p.cells(k, &objects[i])
		if err != nil {
			return err
		}
		if p.showTypes {
			what := status.WatchAdded
			if types != nil {
				what = types[i]
			}
			cells = append([]string{string(what)}, cells...)
		}
		p.table.Row(cells...)
	}
	return p.table.Flush()
}

func prefixOf(k kind) string {
	switch k {
	case kindReplicas:
		return status.ReplicaPrefix
	case kindEvents:
		return "event.svc.d/"
	default:
		return status.NamePrefix
	}
}

func (p *printer) header(k kind) []string {
	var header []string
	if p.showTypes {
		header = append(header, "EVENT")
	}
	switch {
	case p.columns != nil:
		for _, c := range p.columns {
			header = append(header, c.name)
		}
		return header
	case k == kindReplicas:
		header = append(header, status.ReplicaHeader(p.form == "wide")...)
	case k == kindEvents:
		header = append(header, status.EventHeader()...)
	default:
		header = append(header, status.ServiceHeader(p.form == "wide")...)
	}
	if p.showLabels {
		header = append(header, "LABELS")
	}
	return header
}

func (p *printer) cells(k kind, o *object) ([]string, error) {
	if p.columns != nil {
		return p.customCells(o)
	}
	cells, err := o.row(k, p.now(), p.form == "wide")
	if err != nil {
		return nil, err
	}
	if p.showKind {
		cells[0] = prefixOf(k) + cells[0]
	}
	if p.showLabels {
		cells = append(cells, labelsCell(o.meta.Labels))
	}
	return cells, nil
}

func (p *printer) customCells(o *object) ([]string, error) {
	data, err := decoded(o.raw)
	if err != nil {
		return nil, err
	}
	var cells []string
	for _, c := range p.columns {
		values, err := c.path.find(data)
		if err != nil {
			return nil, err
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = text(v)
		}
		if len(texts) == 0 {
			texts = []string{"<none>"}
		}
		cells = append(cells, strings.Join(texts, ","))
	}
	return cells, nil
}

func labelsCell(labels map[string]string) string {
	if len(labels) == 0 {
		return "<none>"
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}
