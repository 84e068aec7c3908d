package status

// Version is what a build says of itself, in the shape of Kubernetes'
// version.Info.
type Version struct {
	GitVersion string `json:"gitVersion"`
	GitCommit  string `json:"gitCommit,omitempty"`
	GoVersion  string `json:"goVersion"`
	Platform   string `json:"platform"`
}
