package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"

	"github.com/alecthomas/kong"

	"prunellm/internal/calibration"
	"prunellm/internal/flags"
	"prunellm/internal/secrets"
	redisstore "prunellm/internal/store/redis"
	"prunellm/internal/workshop"
	"prunellm/models"
	"prunellm/models/hub"
)

// commandLine has all commands and flags. The variable PRUNELLM_<FLAG> or a key of the --config file also sets a flag.
type commandLine struct {
	Config    flags.File `help:"YAML file with any of the flags, at its top level or below the name of a command. The command line and PRUNELLM_* variables override it." type:"path" placeholder:"FILE"`
	Home      string     `help:"Folder of the files that setup fetched: the default model, the XLA plugin." default:"${home}" type:"path" placeholder:"DIR"`
	Device    string     `help:"GPUs to use: 'auto' uses all, 'none' runs everything on the CPU. 'prunellm version --devices' lists them." default:"auto" placeholder:"auto|none|CUDA0,..."`
	LogLevel  string     `help:"Lowest level to log: ${enum}." group:"Observability" enum:"debug,info,warn,error" default:"info"`
	LogFormat string     `help:"Format of log lines: ${enum}." group:"Observability" enum:"text,json" default:"text"`

	ShowVersion kong.VersionFlag `name:"version" help:"Show the version; the version command shows more." env:"-"`

	Serve   serveCommand   `cmd:"" help:"Serve a model that is pruned by a ratio. The first start prunes it."`
	Prune   pruneCommand   `cmd:"" help:"Write a pruned model as a GGUF file or a safetensors folder."`
	Recover recoverCommand `cmd:"" help:"Train a pruned model on the dense model's predictions."`
	Eval    evalCommand    `cmd:"" help:"Measure the perplexity of pruned variants on a text, and their KL divergence from the dense model."`
	Score   scoreCommand   `cmd:"" help:"Write the importance of every MLP neuron to a safetensors file."`
	Bench   benchCommand   `cmd:"" help:"Measure latency and throughput of pruned variants or of any OpenAI-compatible server."`
	Inspect inspectCommand `cmd:"" help:"Show a GGUF file's origin and widths, and check the file."`
	Version versionCommand `cmd:"" help:"Show the version, and those of the main dependencies."`
	Worker  workerCommand  `cmd:"" hidden:"" help:"Run one job for a parent process."`

	Calibrate calibrateCommand `cmd:"" help:"Write the calibration tokens that scores and refit would read."`
}

// childFlags returns the flags of child processes of the same binary. Children inherit the chosen devices, so
// PRUNELLM_DEVICE must not choose again. They read no configuration file, because it may have changed since the start.
func (c *commandLine) childFlags() []string {
	list := []string{"--log-level", c.LogLevel, "--log-format", c.LogFormat, "--device", "auto", "--config="}
	if c.Home != "" {
		list = append(list, "--home", c.Home)
	}
	return list
}

// modelFlags choose the dense model.
type modelFlags struct {
	Model    string   `help:"Dense model: a GGUF file, a safetensors folder, 'hf:owner/name' with an optional '@revision' and ':file' or ':type', or 'default' (SmolLM2-135M-Instruct, fetched by setup)." default:"default" type:"homepath" placeholder:"REF"`
	HubURL   string   `help:"Hub for hf: references. Only this host gets HF_TOKEN." default:"https://huggingface.co" env:"PRUNELLM_HUB_URL,HF_ENDPOINT" placeholder:"URL"`
	HubHosts []string `help:"More hosts that the hub may redirect downloads to; other redirects fail." placeholder:"HOST,..."`
}

// sharedInputs are the flags that name inputs, each with the values that are not paths; see flags.WarnOfShared.
var sharedInputs = map[string][]string{"model": {models.DefaultRef, hub.Prefix}, "calibration": {calibration.AutoName, calibration.GeneralName, calibration.SelfName}}

// recipeFlags decide the scores, the budget and the refit.
type recipeFlags struct {
	Criterion         string  `help:"How neurons are scored: ${criteria_help}." enum:"${criteria}" default:"sdm2"`
	Alpha             float64 `help:"Weight of the distillation loss against cross entropy, 0 to 1 (${distilling})." default:"0.4"`
	Temperature       float64 `help:"Temperature of the dense model's distribution in the distillation loss (${distilling})." default:"0.2"`
	SliverKeep        float64 `help:"Share of each layer's neurons that the student of the distillation loss keeps, above 0 and below 1 (${distilling})." default:"0.975"`
	Calibration       string  `help:"Text for scores and refit: 'general' (text of many genres, part of the binary), 'self' (the dense model writes it), a text or JSONL file, or several of these, each with an optional weight: a.txt=2,general. 'auto' is ${auto_calibration}, or self if the model's tokenizer is not known." default:"auto" type:"homepath" placeholder:"auto|general|self|FILE,..."`
	CalibrationTokens int     `help:"Tokens of calibration text to score neurons on." default:"4096"`
	RefitTokens       int     `help:"Tokens to refit down_proj on: the scored ones first, then further ones of the same source, if it has them. 0: four times --calibration-tokens." default:"0" placeholder:"N"`
	Quick             bool    `help:"Score on at most 2048 tokens and, unless --refit-tokens is set, refit on four times as many: variants are ready sooner and slightly worse."`
	MixedPrecision    string  `help:"Use bfloat16 in matmuls of scoring, refit and recovery: ${enum}. auto uses it if the processor has instructions for it and the criterion tolerates it (not ${float32_only})." enum:"auto,no,bf16" default:"auto"`
	Seed              uint64  `help:"Seed of the calibration text that the dense model writes, and of the labels that ${drawing} draws." default:"1"`
	Budget            string  `help:"Widths of the layers: ${enum}. 'uniform' is one width for all layers, 'global' ranks neurons over all layers, 'auto' is global if the architecture supports it." enum:"auto,uniform,global" default:"auto"`
	Reconstruct       bool    `help:"Refit down_proj by least squares after pruning." default:"true" negatable:""`

	AllowUnknownPreTokenizer bool `help:"Accept calibration text although the model's file names no pre-tokenizer or an unknown one. The tokens may be wrong."`
}

// cacheFlags configure the stores of computed values.
type cacheFlags struct {
	CacheDir string `help:"Folder of computed scores, plans and variants." default:"${cache}" type:"path" placeholder:"DIR"`
	Redis    string `help:"URL of the Redis through which replicas share scores, plans and refitted tensors. Without it values stay on the disk." placeholder:"URL"`

	RedisTTL      time.Duration `help:"Time after which an unused value expires in Redis; 0: never." name:"redis-ttl" default:"720h" placeholder:"DURATION"`
	RedisMaxBytes int64         `help:"Bytes of a model's values in Redis at most; prunellm deletes the least recently used ones. 0: no limit." default:"0" placeholder:"BYTES"`
	RedisCA       string        `help:"PEM file of certificate authorities for a rediss:// server, instead of the system's." name:"redis-ca" type:"path" placeholder:"FILE"`
}

// minRedisTTL leaves replicas time to read a used value again: each read restarts its TTL.
const minRedisTTL = time.Minute

// Validate reports every fault of the Redis settings at once.
func (f *cacheFlags) Validate() error {
	var faults []error
	if f.RedisTTL != 0 && f.RedisTTL < minRedisTTL {
		faults = append(faults, fmt.Errorf("--redis-ttl is %v but must be 0 or at least %v", f.RedisTTL, minRedisTTL))
	}
	if f.RedisMaxBytes < 0 {
		faults = append(faults, fmt.Errorf("--redis-max-bytes is %d but must not be negative", f.RedisMaxBytes))
	}
	if f.RedisCA != "" && f.Redis == "" {
		faults = append(faults, errors.New("--redis-ca needs --redis"))
	}
	return flags.Join(faults)
}

// openWorkshop opens the workshop that makes variants of the model. The caller closes it before the model.
func openWorkshop(env *environment, model *models.GGUF, flags cacheFlags, serving workshop.Serving) (*workshop.Workshop, error) {
	if flags.CacheDir == "" {
		return nil, errNoHome
	}
	if err := secrets.Check("redis-ca", flags.RedisCA, nil); err != nil {
		return nil, err
	}
	redis := redisstore.Options{URL: flags.Redis, CAFile: flags.RedisCA, TTL: flags.RedisTTL, MaxModelBytes: flags.RedisMaxBytes}
	if redis.TTL == 0 {
		redis.TTL = -1
	}
	return workshop.Open(env.ctx, workshop.Options{
		Model: model, Version: version, CacheDir: flags.CacheDir, Redis: redis, Child: env.child(), Out: env.stderr, Log: env.log,
		Serving: serving,
	})
}

// autoBudget is the value of --budget that lets the architecture decide.
const autoBudget = "auto"

// quickTokens bounds the calibration tokens of --quick.
const quickTokens = 2048

// Limits of --calibration-tokens and --refit-tokens.
const (
	minCalibrationTokens = calibration.MinTokens
	maxCalibrationTokens = 1 << 24
)

// Validate reports every fault of the recipe at once.
func (f *recipeFlags) Validate() error {
	var faults []error
	if !(f.Alpha >= 0 && f.Alpha <= 1) {
		faults = append(faults, fmt.Errorf("--alpha is %v but must be 0 to 1", f.Alpha))
	}
	if !(f.Temperature >= 0.01 && f.Temperature <= 100) {
		faults = append(faults, fmt.Errorf("--temperature is %v but must be 0.01 to 100", f.Temperature))
	}
	if !(f.SliverKeep > 0 && f.SliverKeep < 1) {
		faults = append(faults, fmt.Errorf("--sliver-keep is %v but must be above 0 and below 1", f.SliverKeep))
	}
	if f.CalibrationTokens < minCalibrationTokens || f.CalibrationTokens > maxCalibrationTokens {
		faults = append(faults, fmt.Errorf("--calibration-tokens is %d but must be %d to %d", f.CalibrationTokens, minCalibrationTokens, maxCalibrationTokens))
	}
	if f.RefitTokens != 0 && (f.RefitTokens < minCalibrationTokens || f.RefitTokens > maxCalibrationTokens) {
		faults = append(faults, fmt.Errorf("--refit-tokens is %d, want 0 or %d to %d", f.RefitTokens, minCalibrationTokens, maxCalibrationTokens))
	}
	return flags.Join(faults)
}

// checkRatio returns an error unless the ratio is in [0,1).
func checkRatio(ratio float64) error {
	if math.IsNaN(ratio) || ratio < 0 || ratio >= 1 {
		return fmt.Errorf("--ratio is %v but must be at least 0 and below 1", ratio)
	}
	return nil
}

// logger returns a logger that writes to stderr; standard output is for results.
func (c *commandLine) logger(stderr io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(stderr, options)), nil
	}
	options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.String(slog.TimeKey, a.Value.Time().Format(time.DateTime))
		}
		return a
	}
	return slog.New(slog.NewTextHandler(stderr, options)), nil
}
