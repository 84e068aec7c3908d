package world

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// besiegers are what clients that mean no good do with a connection, and how many of
// each there are.
var besiegers = []struct {
	clients int
	first   string // what they send at once
	then    []byte // and again and again, as fast as it is taken
	mute    bool   // they never read
}{
	{clients: 1000}, // idle
	{clients: 50, first: "GET /apis/svc.d/v1/services HTTP/1.1\r\nHos"},
	{clients: 10, first: "POST /apis/svc.d/v1/services/none/stop HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\n\r\n", then: make([]byte, 4096)},
	{clients: 100, first: "GET /apis/svc.d/v1/services?watch=true HTTP/1.1\r\nHost: a\r\n\r\n", mute: true},
	{clients: 50, first: "GET /apis/svc.d/v1/services HTTP/1.1\r\nHost: a\r\n\r\n", mute: true},
}

// Besiege has them all at a daemon's socket, and come again when they are turned out, until
// end is called. It returns when all have come.
func Besiege(socket string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all, come sync.WaitGroup
	for _, b := range besiegers {
		for range b.clients {
			come.Add(1)
			all.Go(func() {
				came := sync.OnceFunc(come.Done)
				defer came()
				for ctx.Err() == nil {
					siege(ctx, socket, b.first, b.then, b.mute, came)
					select {
					case <-ctx.Done():
					case <-time.After(time.Second):
					}
				}
			})
		}
	}
	come.Wait()
	return func() {
		cancel()
		all.Wait()
	}
}

// siege does it once, until the connection is closed.
func siege(ctx context.Context, socket, first string, then []byte, mute bool, came func()) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		came() // the queue of the socket is full of them
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, err = io.WriteString(conn, first)
	came()
	for err == nil && len(then) > 0 {
		_, err = conn.Write(then)
	}
	if mute {
		<-ctx.Done()
		return
	}
	_, _ = io.Copy(io.Discard, conn)
}
