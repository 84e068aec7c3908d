package main

import (
	"context"
	"fmt"
	"strings"

	"svc.d/reconciler/api"
	"svc.d/status"
)

// listRows lists all of a kind, or what a selector has, as rows that the daemon has made:
// of a thousand services that is a twentieth of what they are as objects. It does nothing,
// and says so, where the objects themselves are needed.
func (a *app) listRows(ctx context.Context, words []string, flags *getFlags, p *printer) (done bool, err error) {
	k, ok := kindServices, len(words) == 0
	if len(words) == 1 {
		k, ok = kindOf(words[0])
	}
	if !ok || k == kindConfig || !p.isTable() || p.sortBy != nil || flags.watch || flags.watchOnly || flags.watchEvents {
		return false, nil
	}
	client, err := a.client()
	if err != nil {
		return true, err
	}
	daemon, err := client.Daemon(ctx)
	if err != nil {
		return true, withHint(err)
	}
	if k == kindServices && len(daemon.Problems) > 0 {
		return false, nil // which tell of the services that they are about
	}
	table, err := client.Table(ctx, string(k), flags.selection, p.showLabels)
	if err != nil || table == nil {
		return err != nil, withHint(err)
	}
	s, chosen := &situation{client: client, daemon: daemon}, flags.selection != api.Selection{}
	if len(table.Rows) == 0 {
		fmt.Fprintln(a.stderr, nothing(s, &group{kind: k, selected: chosen}))
	} else if err := p.tableOf(table); err != nil {
		return true, err
	}
	if k != kindServices {
		return true, nil
	}
	return true, a.afterTable(s, nil, chosen)
}

// tableOf writes rows that the daemon has made.
func (p *printer) tableOf(list *status.RowList) error {
	var shown []int
	var header []string
	for n, c := range list.Columns {
		if c.Priority == 0 || p.form == "wide" {
			shown = append(shown, n)
			header = append(header, strings.ToUpper(c.Name))
		}
	}
	t := status.NewTable(p.out)
	add := func(cells []string, labels string) {
		if p.showLabels {
			cells = append(cells, labels)
		}
		t.Row(cells...)
	}
	if !p.noHeaders {
		add(header, "LABELS")
	}
	for _, row := range list.Rows {
		cells := make([]string, 0, len(shown)+1)
		for _, n := range shown {
			if n < len(row.Cells) {
				cells = append(cells, row.Cells[n])
			}
		}
		var o object
		if p.showLabels {
			var err error
			if o, err = newObject(row.Object); err != nil {
				return err
			}
		}
		add(cells, labelsCell(o.meta.Labels))
	}
	return t.Flush()
}
