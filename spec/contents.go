package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Contents is what is known of the content of files that services name. It is
// immutable.
type Contents struct {
	// Files are by path; what nobody names, or was not read yet, is missing.
	Files map[string]Content
}

// Content is what a file holds. Two of them are equal when the file means the
// same to who reads it.
type Content struct {
	// Raw is a digest of the bytes; empty when there is no such file.
	Raw string
	// Env is a digest of the variables that the file means as one of envFrom
	// (DigestEnv); empty when it is none.
	Env string
	// Problem is why it cannot be read, or not as variables; empty when it can.
	Problem string
}

// DigestEnv is a digest of the variables of a file: comments and blanks do not
// count, order does.
func DigestEnv(vars []EnvVar) string {
	h := sha256.New()
	for _, v := range vars {
		fmt.Fprintf(h, "%d %d %s%s", len(v.Name), len(v.Value), v.Name, v.Value)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// EnvFiles are the paths of envFrom whose change is an edit: those that are not
// listed in reload.files.
func (p *Spec) EnvFiles() []string {
	var paths []string
	for _, from := range p.EnvFrom {
		if p.Reload == nil || !slices.Contains(p.Reload.Files, from.File) {
			paths = append(paths, from.File)
		}
	}
	return paths
}

// EnvFilesUsable reports whether a process can be started with the files of envFrom as
// they are: each means variables, or is missing and optional.
func (p *Spec) EnvFilesUsable(c *Contents) bool {
	for _, from := range p.EnvFrom {
		if file, known := c.Files[from.File]; !known || file.Problem != "" || file.Raw == "" && !from.Optional {
			return false
		}
	}
	return true
}

// EnvFilesDigest is a digest of what the files of EnvFiles mean together, when
// content tells what each means (Content.Env; empty for a missing one). It is empty
// when there are none.
func (p *Spec) EnvFilesDigest(content func(path string) string) string {
	paths := p.EnvFiles()
	if len(paths) == 0 {
		return ""
	}
	h := sha256.New()
	for _, path := range paths {
		fmt.Fprintf(h, "%d %s%s\n", len(path), path, content(path))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// ReloadDigest is a digest of the content of reload.files, when content tells of
// each (Content.Raw). It is empty when there are none.
func (p *Spec) ReloadDigest(content func(path string) string) string {
	if p.Reload == nil || len(p.Reload.Files) == 0 {
		return ""
	}
	h := sha256.New()
	for _, path := range p.Reload.Files {
		fmt.Fprintf(h, "%d %s%s\n", len(path), path, content(path))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
