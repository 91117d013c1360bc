package redis

import (
	"context"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// impatience is a hook that bounds how long the client waits for a Sentinel's response when it connects. The client
// tries another Sentinel only if reading fails before the context of the whole attempt ends. Without the bound it would
// wait for a hanging Sentinel all that time.
type impatience struct{ limit time.Duration }

// DialHook implements redis.Hook.
func (i impatience) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return next(hasty{ctx, time.Now().Add(i.limit)}, network, addr)
	}
}

// ProcessHook implements redis.Hook.
func (impatience) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (impatience) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// hasty is a context that reports an earlier deadline than that at which it ends. Connections take their deadlines from
// it.
type hasty struct {
	context.Context
	deadline time.Time
}

// Deadline implements context.Context.
func (h hasty) Deadline() (time.Time, bool) {
	if deadline, ok := h.Context.Deadline(); ok && deadline.Before(h.deadline) {
		return deadline, true
	}
	return h.deadline, true
}
