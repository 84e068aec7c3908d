package host

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"svc.d/reconciler"
	"svc.d/spec"
)

// readEnvFiles reads the files of envFrom, in order. meant is a digest of what each
// path means; one that is missing and optional means nothing.
func readEnvFiles(list []spec.EnvFrom) (vars []spec.EnvVar, meant map[string]string, f *reconciler.Failure) {
	const limit = 1 << 20 // far more than execve takes
	if len(list) > 0 {
		meant = make(map[string]string, len(list))
	}
	for _, from := range list {
		data, err := readBounded(from.File, limit)
		if err != nil {
			if from.Optional && errors.Is(err, unix.ENOENT) {
				continue
			}
			return nil, nil, failure(reconciler.ReasonEnvFileInvalid, "cannot read the environment file %s: %v", from.File, err)
		}
		parsed, err := spec.ParseEnvFile(from.File, data)
		if err != nil {
			return nil, nil, &reconciler.Failure{Reason: reconciler.ReasonEnvFileInvalid, Message: err.Error()}
		}
		meant[from.File] = spec.DigestEnv(parsed)
		for _, v := range parsed {
			vars = append(vars, spec.EnvVar{Name: from.Prefix + v.Name, Value: v.Value})
		}
	}
	return vars, meant, nil
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	return data, err
}
