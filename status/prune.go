package status

// Prune is the answer to the confirmation of a held removal.
type Prune struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // Prune
	// Removed are the services that are not declared any more, in order of
	// names; empty when nothing was held.
	Removed []string `json:"removed"`
}
