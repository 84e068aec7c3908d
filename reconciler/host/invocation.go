package host

import (
	"fmt"
	"strings"

	"svc.d/spec"
)

func parseEnvFile(_ string, data []byte) ([]spec.EnvVar, error) {
	var vars []spec.EnvVar
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("no = in %q", line)
		}
		vars = append(vars, spec.EnvVar{Name: name, Value: value})
	}
	return vars, nil
}

type invocation struct{ Argv, Env []string }

func process(s *spec.Service, _ int32, base, files []spec.EnvVar) invocation {
	var inv invocation
	inv.Argv = append(append(inv.Argv, s.Spec.Command...), s.Spec.Args...)
	seen := map[string]int{}
	for _, list := range [][]spec.EnvVar{base, files, s.Spec.Env} {
		for _, v := range list {
			if i, ok := seen[v.Name]; ok {
				inv.Env[i] = v.Name + "=" + v.Value
				continue
			}
			seen[v.Name] = len(inv.Env)
			inv.Env = append(inv.Env, v.Name+"="+v.Value)
		}
	}
	return inv
}
