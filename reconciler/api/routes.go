package api

import (
	"net/http"
	"path"
	"slices"
	"strings"
)

// routes are the API's handlers, and the list of them: what describes the API is made
// from it, so that it cannot lack one.
type routes struct {
	http.ServeMux
	list      []string     // "/version GET", in order
	otherwise http.Handler // for what is not in the list
}

// ServeHTTP is like that of http.ServeMux, but for paths that are not clean, such as
// /apis//svc.d: it does not send clients elsewhere.
func (m *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isClean(r.URL.Path) {
		m.otherwise.ServeHTTP(w, r)
		return
	}
	m.ServeMux.ServeHTTP(w, r)
}

func isClean(p string) bool { return path.Clean(p) == p || path.Clean(p)+"/" == p }

// methods are those that the path of a request takes: "GET, HEAD".
func (m *routes) methods(r *http.Request) string {
	if !isClean(r.URL.Path) {
		return ""
	}
	var all []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		other := r.WithContext(r.Context()) // a copy
		other.Method = method
		if _, pattern := m.Handler(other); pattern != "/" {
			all = append(all, method)
		}
	}
	return strings.Join(all, ", ")
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
