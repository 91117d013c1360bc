package redis

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"prunellm/internal/store"
)

// Defaults of Options.
const (
	DefaultDialTimeout = time.Second
	DefaultTimeout     = 2 * time.Second
	DefaultChunkBytes  = 8<<20 - 4<<10 // a little less, so that with Redis's own bytes it fits an 8 MiB allocation
	DefaultTTL         = 30 * 24 * time.Hour
	DefaultLeaseTTL    = 8 * time.Second

	// inlineBytes is the largest value that follows its header instead of being cut into chunks.
	inlineBytes = 64 << 10
	// bytesPerSecond is the slowest transfer of a large value that does not time out.
	bytesPerSecond = 4 << 20
	// poolSize bounds the connections of one replica.
	poolSize = 8
	// probeKey is never written. Ping reads it to check the permission.
	probeKey = "prunellm:probe"
)

// Options are the settings of a Store. The zero value of a field means its default.
type Options struct {
	// URL is redis://, rediss:// (TLS) or unix://, as go-redis reads it, with user, password and database number;
	// redis-sentinel:// or rediss-sentinel:// HOST:PORT,HOST:PORT/MASTER[/DB]; redis-cluster:// or
	// rediss-cluster:// HOST:PORT,HOST:PORT.
	URL string

	// CAFile is a PEM file with the authorities that sign certificates of TLS servers; "" means the system's.
	CAFile string

	DialTimeout time.Duration // of one connection
	Timeout     time.Duration // of one small operation, including connecting; larger values get more time
	TTL         time.Duration // an entry expires that is not read for this long; below 0: never
	LeaseTTL    time.Duration // lifetime of a dead replica's lease; a live one renews it four times in that time

	MaxValueBytes int64 // largest value written or read; at most store.MaxValueBytes, which is the default
	MaxModelBytes int64 // above which a model's least recently used entries are evicted; 0: no limit
	ChunkBytes    int64 // length of the pieces of a large value

	Log   *slog.Logger
	Hooks store.Hooks
}

func (o Options) withDefaults() (Options, error) {
	set := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	set(&o.DialTimeout, DefaultDialTimeout)
	set(&o.Timeout, DefaultTimeout)
	set(&o.TTL, DefaultTTL)
	set(&o.LeaseTTL, DefaultLeaseTTL)
	if o.ChunkBytes == 0 {
		o.ChunkBytes = DefaultChunkBytes
	}
	if o.MaxValueBytes == 0 {
		o.MaxValueBytes = store.MaxValueBytes
	}
	switch {
	case o.DialTimeout < 0 || o.Timeout < 0:
		return o, errors.New("redis timeouts must be above 0")
	case o.LeaseTTL < 20*time.Millisecond || o.LeaseTTL > time.Hour:
		return o, fmt.Errorf("redis lease ttl is %v but must be 20ms to 1h", o.LeaseTTL)
	case o.ChunkBytes < 1 || o.ChunkBytes > 512<<20:
		return o, fmt.Errorf("redis chunk size is %d bytes but must be 1 to %d", o.ChunkBytes, 512<<20)
	case o.MaxValueBytes < 1 || o.MaxValueBytes > store.MaxValueBytes:
		return o, fmt.Errorf("redis value limit is %d bytes but must be 1 to %d", o.MaxValueBytes, int64(store.MaxValueBytes))
	case o.MaxModelBytes < 0:
		return o, errors.New("redis size limit of a model is below 0")
	case o.Log == nil:
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// newClient returns the client for the URL. It connects on first use. Errors never quote the URL, which
// may hold a password, nor wrap errors that do.
func newClient(o Options) (redis.UniversalClient, error) {
	client, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if err := trust(client, o.CAFile); err != nil {
		return nil, err
	}
	client.DialTimeout = o.DialTimeout
	client.DialerRetries = 1
	client.MaxRetries = 1 // for a connection that broke while idle; the deadline bounds both attempts together
	client.ContextTimeoutEnabled = true
	client.ReadTimeout, client.WriteTimeout = -1, -1 // each operation's context has the deadline
	client.PoolTimeout = o.Timeout
	client.PoolSize = poolSize
	client.PipelinePoolSize = -1
	client.DisableIdentity = true
	client.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	made := redis.NewUniversalClient(client)
	if client.MasterName != "" {
		made.AddHook(impatience{o.DialTimeout / 2})
	}
	return made, nil
}

// trust makes the client check servers against the certificates in the file.
func trust(client *redis.UniversalOptions, caFile string) error {
	if caFile == "" {
		return nil
	}
	if client.TLSConfig == nil {
		return errors.New("redis ca file needs a rediss url")
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return fmt.Errorf("read redis ca file: %w", err)
	}
	client.TLSConfig.RootCAs = x509.NewCertPool()
	if !client.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("redis ca file %s holds no certificate in PEM form", caFile)
	}
	return nil
}

// parseURL returns client options for the URL.
func parseURL(raw string) (*redis.UniversalOptions, error) {
	raw = strings.TrimSpace(raw) // a variable filled from a file often ends in a newline
	scheme, rest, _ := strings.Cut(raw, "://")
	base, kind, _ := strings.Cut(scheme, "-")
	switch {
	case kind == "" && (base == "redis" || base == "rediss" || base == "unix"):
		return parseSingle(raw)
	case (kind == "sentinel" || kind == "cluster") && (base == "redis" || base == "rediss"):
		return parseMany(base, kind, rest)
	}
	return nil, errors.New("redis url: scheme is not one of redis, rediss, unix, redis-sentinel, rediss-sentinel, redis-cluster, rediss-cluster")
}

func parseSingle(raw string) (*redis.UniversalOptions, error) {
	o, err := redis.ParseURL(raw)
	if u, fault := url.Parse(raw); err == nil && (fault != nil || u.Fragment != "" || (u.Scheme == "unix" && u.Host != "")) {
		err = errors.New("parts that go-redis ignores")
	}
	if err != nil {
		return nil, errors.New("redis url: not valid, want redis://[user:password@]host[:port][/db], rediss:// likewise or unix://[user:password@]/path/to/socket[?db=N]" + encodingHint(raw))
	}
	return &redis.UniversalOptions{ // an address that begins with a slash is a unix socket
		Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		ClientName: o.ClientName, Protocol: o.Protocol,
	}, nil
}

// encodingHint tells how to write a password, if a URL that is not valid has one. It shows nothing of it.
func encodingHint(raw string) string {
	if !strings.Contains(raw, "@") {
		return ""
	}
	return "; in user and password write special characters percent-encoded: / as %2F, # as %23, ? as %3F, % as %25, @ as %40"
}

// parseMany reads user:password@host:port,host:port/path, each host with go-redis's own parser. The credentials are those
// of the servers; Sentinels are asked without any.
func parseMany(base, kind, rest string) (*redis.UniversalOptions, error) {
	bad := fmt.Errorf("redis url: not valid; it must be %s-%s://[user:password@]host:port[,host:port...]", base, kind)
	if kind == "sentinel" {
		bad = fmt.Errorf("%w/master[/db]", bad)
	}
	bad = fmt.Errorf("%w%s", bad, encodingHint(rest))
	credentials, hosts := "", rest
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		credentials, hosts = rest[:at+1], rest[at+1:]
	}
	hosts, path, _ := strings.Cut(hosts, "/")
	master, db, _ := strings.Cut(path, "/")
	if kind == "sentinel" && master == "" || kind == "cluster" && path != "" || strings.Contains(rest, "#") {
		return nil, bad
	}
	master, err := url.PathUnescape(master)
	if err != nil {
		return nil, bad
	}
	var client *redis.UniversalOptions
	for host := range strings.SplitSeq(hosts, ",") {
		o, err := redis.ParseURL(base + "://" + credentials + host + "/" + db)
		if err != nil || host == "" {
			return nil, bad
		}
		if client == nil {
			client = &redis.UniversalOptions{
				DB: o.DB, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
				MasterName: master, IsClusterMode: kind == "cluster",
			}
			if client.TLSConfig != nil {
				client.TLSConfig.ServerName = "" // set for each host
			}
		}
		client.Addrs = append(client.Addrs, o.Addr)
	}
	return client, nil
}

// Ping reports whether the server responds within the timeout, accepts the credentials and permits reading.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	if err := s.client.Ping(ctx).Err(); err != nil {
		return s.wrap(ctx, "ping redis", err)
	}
	// Only permission errors count: in a Cluster the key may belong to another node than the values.
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.GetRange(ctx, probeKey, 0, 0)
		p.StrLen(ctx, probeKey)
		p.Exists(ctx, probeKey)
		p.HScan(ctx, probeKey, 0, "", 1)
		p.Get(ctx, probeKey) // the last, since a missing key is an error too
		return nil
	})
	if redis.HasErrorPrefix(err, "NOPERM") {
		return s.wrap(ctx, "read from redis", err)
	}
	return nil
}
