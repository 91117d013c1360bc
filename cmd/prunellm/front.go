package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"prunellm/internal/flags"
	"prunellm/internal/secrets"
	"prunellm/openapi"
	"prunellm/server"
)

// frontFlags configure the server's address, access and traces.
type frontFlags struct {
	Addr           string   `help:"Address to listen on. An address that other machines can reach needs --api-key-file or --insecure." group:"Serving" default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	APIKeyFile     string   `help:"File with the accepted API keys, one per line; reloaded on SIGHUP." group:"Security" name:"api-key-file" type:"path" placeholder:"FILE"`
	Insecure       bool     `help:"Allow an address that other machines can reach without API keys." group:"Security"`
	AllowedHosts   []string `help:"More names for a request's Host header, besides IP addresses and loopback names: 'llm.example.org', '*.example.org' for all names below it, each with or without ':PORT'; '*' allows all." group:"Security" placeholder:"NAME,..."`
	AllowedOrigins []string `help:"Origins whose pages may call the API from a browser (CORS), such as 'https://app.example.org' or 'http://localhost:3000'; 'null' is the origin of local files, '*' allows all." group:"Security" placeholder:"ORIGIN,..."`
	TLSCert        string   `help:"Certificate chain in PEM. With --tls-key the server speaks HTTPS. Both are reloaded on SIGHUP." group:"Security" name:"tls-cert" type:"path" placeholder:"FILE"`
	TLSKey         string   `help:"Private key of --tls-cert in PEM." group:"Security" name:"tls-key" type:"path" placeholder:"FILE"`
	RateLimit      int      `help:"Requests per minute at most for each key, or for each address without keys; 0: no limit." group:"Security" default:"0" placeholder:"N"`
	Stored         int      `help:"MiB of /v1/responses to keep in memory for an hour, for each API key, so that 'previous_response_id' can continue them; 0: none." group:"Serving" name:"response-store" default:"64" placeholder:"MIB"`
	ModelNames     []string `help:"Names by which requests may call the model, instead of that of its file. Responses have the first one." group:"Model" name:"served-model-name" placeholder:"NAME,..."`
	VLLMMetrics    bool     `help:"Show the metrics that vLLM has by its names too, for gateways that route by them." group:"Observability" name:"vllm-metrics"`
	OTLPEndpoint   string   `help:"URL of an OpenTelemetry collector (OTLP over HTTP) for traces. OTEL_EXPORTER_OTLP_ENDPOINT works too." group:"Observability" name:"otlp-endpoint" placeholder:"URL"`
}

// maxRateLimit bounds --rate-limit, in requests per minute.
const maxRateLimit = 1 << 20

// maxStored bounds --response-store, in MiB.
const maxStored = 1 << 20

// Validate reports every fault at once.
func (f *frontFlags) Validate() error {
	faults := flags.Faults(flags.CheckListen(f.Addr, f.APIKeyFile != "", f.Insecure))
	if (f.TLSCert == "") != (f.TLSKey == "") {
		faults = append(faults, errors.New("--tls-cert and --tls-key must be given together"))
	}
	if f.RateLimit < 0 || f.RateLimit > maxRateLimit {
		faults = append(faults, fmt.Errorf("--rate-limit is %d but must be 0 to %d", f.RateLimit, maxRateLimit))
	}
	if err := server.ParseHosts(f.AllowedHosts); err != nil {
		faults = append(faults, fmt.Errorf("--allowed-hosts: %w", err))
	}
	if err := server.ParseOrigins(f.AllowedOrigins); err != nil {
		faults = append(faults, fmt.Errorf("--allowed-origins: %w", err))
	}
	if err := openapi.CheckModelNames(f.ModelNames); err != nil {
		faults = append(faults, fmt.Errorf("--served-model-name: %w", err))
	}
	if f.Stored < 0 || f.Stored > maxStored {
		faults = append(faults, fmt.Errorf("--response-store is %d but must be 0 to %d", f.Stored, maxStored))
	}
	if f.OTLPEndpoint != "" {
		if u, err := url.Parse(f.OTLPEndpoint); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			faults = append(faults, errors.New("--otlp-endpoint is not a valid URL; an example is http://127.0.0.1:4318"))
		}
	}
	return flags.Join(faults)
}

// scheme returns the scheme of the server's URL.
func (f *frontFlags) scheme() string {
	if f.TLSCert != "" {
		return "https"
	}
	return "http"
}

// openSecrets reads the API keys and the TLS certificate.
func (f *frontFlags) openSecrets(log *slog.Logger) (*secrets.Store, error) {
	return secrets.Open(secrets.Files{APIKeys: f.APIKeyFile, TLSCert: f.TLSCert, TLSKey: f.TLSKey}, log)
}
