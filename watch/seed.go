package watch

import "svc.d/spec"

// seed begins with what an earlier image of the process had in force, as if
// its files had been read before and been seen with that content. What stands
// there now is not known: each is read at the first list.
func (l *ledger) seed(services []*spec.Service, configuration *spec.Configuration) {
	provider := func(file string) *entry {
		e := l.files[file]
		if e == nil {
			e = &entry{path: file}
			l.files[file] = e
		}
		return e
	}
	l.seeded = make(map[string]*spec.Service, len(services))
	for _, s := range services {
		l.seeded[s.Metadata.Name] = s
		e := provider(s.Source.File)
		e.services = append(e.services, s)
		l.claimAll(e, []*spec.Service{s})
	}
	if configuration != nil {
		e := provider(configuration.Source.File)
		e.configuration = configuration
		l.claimConfiguration(e)
	}
}
