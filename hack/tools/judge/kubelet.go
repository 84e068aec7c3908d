package main

import (
	"context"

	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-client/pkg/logs"
)

// kubelet follows the active file by its name. Between two files it goes by the
// event that one of this name was made, and opens what has the name then: a file
// that is rotated away before it was opened is missed, and where it is two
// rotations behind, the newest is read twice (waitLogs, logs.go). So it must not
// be slower than the rotation; and it must not have to wait for the rest of an
// entry when it comes to the end of a file, since it drops what it has of it.
func kubelet(ctx context.Context, log string, to output, ready func()) error {
	options := &logs.LogOptions{Follow: true}
	ready()
	return logs.ReadLogs(context.WithoutCancel(ctx), log, "", options, running{ctx: ctx}, to["stdout"], to["stderr"])
}

// running is a container that runs as long as the context lives. ReadLogs asks nothing else of the
// runtime.
type running struct {
	internalapi.RuntimeService
	ctx context.Context
}

func (c running) ContainerStatus(context.Context, string, bool) (*runtimeapi.ContainerStatusResponse, error) {
	state := runtimeapi.ContainerState_CONTAINER_RUNNING
	if c.ctx.Err() != nil {
		state = runtimeapi.ContainerState_CONTAINER_EXITED
	}
	return &runtimeapi.ContainerStatusResponse{Status: &runtimeapi.ContainerStatus{State: state}}, nil
}
