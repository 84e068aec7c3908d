package status

import "io"

// ConfigurationReport is the daemon's configuration as it is in force, with
// where each value comes from.
type ConfigurationReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // ConfigurationReport
	// File is that of the document in force; empty when there is none.
	File string `json:"file"`
	// Values are all there are, in the order in which a document has them.
	Values []ConfigurationValue `json:"values"`
}

// ConfigurationValue is one field.
type ConfigurationValue struct {
	Field string `json:"field"` // as in a document: log.format
	Value string `json:"value"` // empty when there is none
	// Origin is "flag --NAME", "document FILE:LINE" (the document's first
	// line) or "default".
	Origin string `json:"origin"`
}

// WriteConfiguration writes one field a line.
func WriteConfiguration(w io.Writer, c *ConfigurationReport) error {
	t := newTable(w)
	t.row("FIELD", "VALUE", "ORIGIN")
	for _, v := range c.Values {
		t.row(v.Field, or(v.Value), printable(v.Origin))
	}
	return t.flush()
}
