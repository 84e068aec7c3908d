package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"svc.d/spec"
)

// The names of the group and its version.
const (
	groupName = "svc.d"
	root      = "/apis/" + spec.APIVersion + "/"
	groupText = `"name":"` + groupName + `","versions":[` + versionText + `],"preferredVersion":` + versionText + `}`

	versionText = `{"groupVersion":"` + spec.APIVersion + `","version":"v1"}`
	openAPIPath = "/openapi/v3"
)

// told are the answers that do not change, by path.
var told = [][2]string{
	{"/apis", `{"kind":"APIGroupList","apiVersion":"v1","groups":[{` + groupText + `]}`},
	{"/apis/" + groupName, `{"kind":"APIGroup","apiVersion":"v1",` + groupText},
	{root, ""},
	{openAPIPath, `{"paths":{"apis/` + spec.APIVersion + `":{"serverRelativeURL":"` + openAPIPath + "/apis/" + spec.APIVersion + `"}}}`},
	{openAPIPath + root, ""},
}

// discovery adds what tells clients of Kubernetes' kind what there is. It is text
// rather than types, which would cost several times as much of the binary.
func (s *Server) discovery(m *routes) {
	for _, t := range told {
		m.Handle("GET "+strings.TrimSuffix(t[0], "/"), s.answer(func(*http.Request) (any, error) {
			text, err := t[1], error(nil)
			switch t[0] {
			case root:
				text = resourceList(m)
			case openAPIPath + root:
				text, err = openAPI(m)
			}
			return json.RawMessage(text), err
		}))
	}
}

// resourceList is Kubernetes' metav1.APIResourceList.
func resourceList(m *routes) string {
	list := `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"` + spec.APIVersion + `","resources":[`
	comma := ""
	for n := range m.list {
		r := m.route(n)
		rest, k := r.resource()
		if k == nil || rest == k.plural+"/{name}" {
			continue
		}
		kind, singular, verbs, short := k.singular, "", "create", ""
		switch {
		case rest == k.plural:
			singular, verbs, short = strings.ToLower(kind), `get","list","watch`, k.short
		case r.last() == "exec":
			kind = "ExecPlan"
		case r.method == http.MethodGet:
			verbs = "get"
		}
		if short != "" {
			short = `,"shortNames":["` + short + `"]`
		}
		list += comma + `{"name":"` + strings.Replace(rest, "/{name}", "", 1) + `","singularName":"` + singular +
			`","namespaced":false,"kind":"` + kind + `","verbs":["` + verbs + `"]` + short + `}`
		comma = ","
	}
	return list + "]}"
}
