package status

// ExecPlan is what a command needs that is to run beside a replica: the surroundings
// that its processes have.
type ExecPlan struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"` // ExecPlan
	Replica    string            `json:"replica"`
	Env        []string          `json:"env"` // NAME=value
	WorkingDir string            `json:"workingDir"`
	Umask      uint32            `json:"umask"`
	User       ExecUser          `json:"user"`
	Rlimits    map[string]Rlimit `json:"rlimits,omitempty"`
	// Cgroup is the absolute path of the cgroup v2 directory to join; empty without.
	Cgroup string `json:"cgroup,omitempty"`
}

// ExecUser is whom a command runs as.
type ExecUser struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
}

// Rlimit is a resource limit of setrlimit(2).
type Rlimit struct {
	Soft uint64 `json:"soft"`
	Hard uint64 `json:"hard"`
}
