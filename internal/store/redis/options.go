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

// The defaults of Options.
const (
	DefaultDialTimeout = time.Second
	DefaultTimeout     = 2 * time.Second
	DefaultChunkBytes  = 8<<20 - 4<<10 // slightly less than 8 MiB, so that it fits in an allocation of 8 MiB with Redis's overhead
	DefaultTTL         = 30 * 24 * time.Hour
	DefaultLeaseTTL    = 8 * time.Second

	// inlineBytes is the size of the largest value that is stored after its header and not in chunks.
	inlineBytes = 64 << 10
	// bytesPerSecond is the slowest rate at which a large value can be transferred without timing out.
	bytesPerSecond = 4 << 20
	// poolSize bounds the number of connections of one replica.
	poolSize = 8
	// probeKey is a key that is never written. Ping reads it to check the permission.
	probeKey = "prunellm:probe"
)

// Options configure a Store. The zero value of a field means its default.
type Options struct {
	// URL is one of: redis://, rediss:// (TLS) or unix:// with user, password and database number in the form of
	// go-redis; redis-sentinel:// or rediss-sentinel:// HOST:PORT,HOST:PORT/MASTER[/DB]; redis-cluster:// or
	// rediss-cluster:// HOST:PORT,HOST:PORT.
	URL string

	// CAFile is a PEM file with the certificate authorities for TLS servers. "" means those of the system.
	CAFile string

	DialTimeout time.Duration // for one connection
	Timeout     time.Duration // for one small operation, including connecting; larger values get more time
	TTL         time.Duration // an entry that is not read for this long expires; below 0 means never
	LeaseTTL    time.Duration // lifetime of a lease that is not renewed; its holder renews it four times in that time

	MaxValueBytes int64 // largest value to write or read; default and maximum are store.MaxValueBytes
	MaxModelBytes int64 // total above which a model's least recently used entries are evicted; 0 means no limit
	ChunkBytes    int64 // size of the chunks of a large value

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
		return o, errors.New("redis size limit of a model must be at least 0")
	case o.Log == nil:
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// newClient returns the client for the URL. The client connects when it is first used. Errors never contain the URL,
// which may have a password, and do not wrap errors that contain it.
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
	client.MaxRetries = 1 // for a connection that broke while idle; one deadline bounds both attempts
	client.ContextTimeoutEnabled = true
	client.ReadTimeout, client.WriteTimeout = -1, -1 // the context of each operation has the deadline
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

// trust makes the client verify servers with the certificates in a file.
func trust(client *redis.UniversalOptions, caFile string) error {
	if caFile == "" {
		return nil
	}
	if client.TLSConfig == nil {
		return errors.New("redis ca file requires a URL with TLS: rediss, rediss-sentinel or rediss-cluster")
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return fmt.Errorf("read redis ca file: %w", err)
	}
	client.TLSConfig.RootCAs = x509.NewCertPool()
	if !client.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("redis ca file %s contains no certificate in PEM format", caFile)
	}
	return nil
}

// parseURL parses a URL and returns the client options for it.
func parseURL(raw string) (*redis.UniversalOptions, error) {
	raw = strings.TrimSpace(raw) // a URL that comes from a file often ends in a newline
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
		return nil, errors.New("redis url: not valid; it must be redis://[user:password@]host[:port][/db], the same with rediss://, or unix://[user:password@]/path/to/socket[?db=N]" + encodingHint(raw))
	}
	return &redis.UniversalOptions{ // the client takes an address that begins with a slash as a unix socket
		Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		ClientName: o.ClientName, Protocol: o.Protocol,
	}, nil
}

// encodingHint returns a hint on how to write a password if an invalid URL has one. The hint does not contain any part
// of the URL.
func encodingHint(raw string) string {
	if !strings.Contains(raw, "@") {
		return ""
	}
	return "; in user and password write special characters percent-encoded: / as %2F, # as %23, ? as %3F, % as %25, @ as %40"
}

// parseMany parses user:password@host:port,host:port/path, each host with go-redis's own parser. The credentials are
// for the servers; Sentinels get none.
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
				client.TLSConfig.ServerName = "" // the client sets it for each host
			}
		}
		client.Addrs = append(client.Addrs, o.Addr)
	}
	return client, nil
}

// Ping returns an error unless the server responds within the timeout, accepts the credentials and permits reading.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := s.withTimeout(ctx, 0)
	defer cancel()
	if err := s.client.Ping(ctx).Err(); err != nil {
		return s.wrap(ctx, "ping redis", err)
	}
	// Only permission errors count here, because in a Cluster the key may be on another node than the values.
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.GetRange(ctx, probeKey, 0, 0)
		p.StrLen(ctx, probeKey)
		p.Exists(ctx, probeKey)
		p.HScan(ctx, probeKey, 0, "", 1)
		p.Get(ctx, probeKey) // last, because a missing key gives an error too
		return nil
	})
	if redis.HasErrorPrefix(err, "NOPERM") {
		return s.wrap(ctx, "read from redis", err)
	}
	return nil
}
