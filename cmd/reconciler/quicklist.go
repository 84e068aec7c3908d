package main

import (
	"context"
	"fmt"
	"io"

	"svc.d/reconciler/api"
	"svc.d/status"
)

// listText lists all of a kind, or what a selector has, as the daemon words it: of a
// thousand services that is a fortieth of what they are as objects. It does nothing, and
// says so, where the objects themselves are needed.
func (a *app) listText(ctx context.Context, words []string, flags *getFlags, p *printer) (done bool, err error) {
	k, ok := kindServices, len(words) == 0
	if len(words) == 1 {
		k, ok = kindOf(words[0])
	}
	plain := p.form == "" && p.sortBy == nil && !p.noHeaders && !p.showLabels
	if !ok || k == kindConfig || !plain || flags.watch || flags.watchOnly || flags.watchEvents {
		return false, nil
	}
	client, err := a.client()
	if err != nil {
		return true, err
	}
	told := make(chan error, 1)
	var daemon *status.Daemon
	go func() { // side by side
		var err error
		daemon, err = client.Daemon(ctx)
		told <- err
	}()
	text, ok, err := client.Text(ctx, string(k), flags.selection)
	if wrong := <-told; err == nil {
		err = wrong
	}
	if err != nil || !ok {
		return err != nil, withHint(err)
	}
	if k == kindServices && len(daemon.Problems) > 0 {
		return false, nil // which tell of the services that they are about
	}
	s, chosen := &situation{client: client, daemon: daemon}, flags.selection != api.Selection{}
	if text == "" {
		fmt.Fprintln(a.stderr, nothing(s, &group{kind: k, selected: chosen}))
	} else if _, err := io.WriteString(a.stdout, text); err != nil {
		return true, err
	}
	if k != kindServices {
		return true, nil
	}
	return true, a.afterTable(s, nil, chosen)
}
