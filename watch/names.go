package watch

import (
	"path/filepath"
	"strings"
)

// isManifest says whether a file of this logical name is a manifest. Editors,
// git and package managers leave the other names behind.
func isManifest(name string) bool {
	if isHidden(name) || isDigits(name) {
		return false
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json", ".ini":
		return true
	}
	return false
}

// isHidden says whether the name marks something that is nobody's manifest and
// no folder of manifests either.
func isHidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") ||
		strings.HasSuffix(name, ".swp") || strings.HasSuffix(name, ".tmp")
}

func isDigits(name string) bool {
	return strings.Trim(name, "0123456789") == ""
}
