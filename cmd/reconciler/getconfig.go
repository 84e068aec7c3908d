package main

import (
	"context"
	"fmt"

	"svc.d/status"
)

// tellConfiguration writes what the daemon goes by, and what keeps an edit of
// the document from being in force.
func (a *app) tellConfiguration(ctx context.Context, s *situation, p *printer) error {
	if p.form == "name" || p.form == "custom-columns" {
		return fmt.Errorf("cannot use --output %s for the configuration: it must be json, yaml, wide or jsonpath", p.form)
	}
	report, err := s.client.Configuration(ctx)
	if err != nil {
		return withHint(err)
	}
	if !p.isTable() {
		return p.value(report)
	}
	if err := status.WriteConfiguration(a.stdout, report); err != nil {
		return err
	}
	concerning := status.Daemon{Configuration: s.daemon.Configuration}
	for _, p := range s.daemon.Problems {
		if s.daemon.ConcernsConfiguration(p) {
			concerning.Problems = append(concerning.Problems, p)
		}
	}
	return status.WriteProblems(a.stderr, &concerning, s.services, a.now())
}
