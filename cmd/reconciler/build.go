package main

import (
	"runtime"
	"runtime/debug"

	"svc.d/status"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = ""

// build says what this program is.
func build() status.Version {
	v := status.Version{GitVersion: version, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if v.GitVersion == "" && info.Main.Version != "(devel)" {
			v.GitVersion = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.GitCommit = s.Value
			}
		}
	}
	if v.GitVersion == "" {
		v.GitVersion = "dev"
	}
	return v
}
