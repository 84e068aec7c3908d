package api

import "testing"

func TestLabelsAreChosenAsInKubernetes(t *testing.T) {
	labels := map[string]string{"app": "web", "tier": "front", "empty": ""}
	for text, want := range map[string]bool{
		"": true, "app=web": true, "app==web": true, "app=db": false, "app!=db": true, "app!=web": false, "none!=x": true, "none=": false,
		"app": true, "!app": false, "!none": true, "none": false, "app=web,tier=front": true, "app=web, tier!=front": false, "empty=": true,
		"app in (web)": true, "app in (db, web)": true, "app in(db)": false, "none in (web)": false, "app notin (db,web)": false, "none notin (web)": true,
		"tier notin (back), app in (web,db), !none": true,
	} {
		s, err := ParseLabels(text)
		if err != nil || s.Match(labels) != want {
			t.Errorf("%q: got %v, %v", text, !want, err)
		}
	}
	for _, text := range []string{",", "=x", "a in b", "a in (b", "a in ()b", "!a=b", "a=b=c", "a=b,"} {
		if _, err := ParseLabels(text); err == nil {
			t.Errorf("%q is no selector", text)
		}
	}
}
