// Package api serves the engine's state as HTTP and JSON on a Unix socket.
package api
