package api

import (
	"net/http"
	"slices"
	"strings"
)

// routes are the API's handlers, and the list of them: what describes the API is made
// from it, so that it cannot lack one.
type routes struct {
	http.ServeMux
	list []string // "/version GET", in order
}

// Handle is like that of http.ServeMux, and remembers patterns with a method.
func (m *routes) Handle(pattern string, h http.Handler) {
	if method, path, ok := strings.Cut(pattern, " "); ok {
		m.list = append(m.list, path+" "+method)
		slices.Sort(m.list)
	}
	m.ServeMux.Handle(pattern, h)
}

// route is one of them; an element of the path in braces stands for any.
type route struct{ path, method string }

func (m *routes) route(n int) route {
	path, method, _ := strings.Cut(m.list[n], " ")
	return route{path, method}
}

// resource is the part of the path that is below the group, and the kind that it is
// of, without which it is none: "services/{name}/log".
func (r route) resource() (string, *kind) {
	rest, _ := strings.CutPrefix(r.path, root)
	plural, _, _ := strings.Cut(rest, "/")
	for _, k := range kinds {
		if k.plural == plural {
			return rest, k
		}
	}
	return rest, nil
}

// last is the last element of the path.
func (r route) last() string { return r.path[strings.LastIndexByte(r.path, '/')+1:] }
