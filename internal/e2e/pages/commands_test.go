package pages

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"prunellm/internal/e2e/program"
	"prunellm/internal/tinymodel"
)

// runPages are the pages whose shell blocks are run. The first word after "sh" says how:
//
//	```sh                 runs to its end with status 0
//	```sh server          keeps running during the blocks after it, which begin when it answers
//	```sh server tls      the same over HTTPS, with the certificate in cert.pem and key.pem
//	```sh skip: REASON    does not run
//
// The tests of cmd/prunellm parse the commands of other pages.
var runPages = []string{"README.md", "docs/use/quickstart.md", "docs/use/choosing-a-ratio.md", "docs/use/troubleshooting.md", "docs/understand/how-it-works.md", "docs/use/security.md", "docs/operate/gpu.md"}

// documentLimit bounds one block.
const documentLimit = 5 * time.Minute

// shellBlock is a block of a page.
type shellBlock struct {
	line   int
	how    string
	script string
}

func shellBlocks(text string) (blocks []shellBlock) {
	var open *shellBlock
	for i, line := range strings.Split(text, "\n") {
		switch {
		case open != nil && line == "```":
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.script += line + "\n"
		case line == "```sh" || strings.HasPrefix(line, "```sh "):
			open = &shellBlock{line: i + 1, how: strings.TrimSpace(strings.TrimPrefix(line, "```sh"))}
		}
	}
	return blocks
}

// The commands of the pages work as written, except that a tiny model replaces the default one and a free port replaces 8080.
func TestDocumentedCommands(t *testing.T) {
	cache := t.TempDir() // one for all pages, so that no page computes what an earlier one did
	for _, page := range runPages {
		data, err := os.ReadFile(program.Root(t, page))
		if err != nil {
			t.Fatal(err)
		}
		blocks := shellBlocks(string(data))
		t.Run(filepath.Base(page), func(t *testing.T) { runBlocks(t, blocks, cache) })
	}
}

func runBlocks(t *testing.T, blocks []shellBlock, cache string) {
	dir, home, addr := t.TempDir(), t.TempDir(), program.FreeAddr(t)
	documentHome(t, dir, home)
	for _, block := range blocks {
		if reason, ok := strings.CutPrefix(block.how, "skip:"); ok {
			if len(strings.TrimSpace(reason)) < 10 {
				t.Errorf("line %d: a block that does not run needs a reason", block.line)
			}
			continue
		}
		cmd := documentCommand(t, strings.NewReplacer("127.0.0.1:8080", addr, "0.0.0.0:8443", addr).Replace(block.script), dir, home, cache, addr)
		switch block.how {
		case "server":
			program.Watch(t, cmd, addr).WaitReady(program.ColdLimit)
		case "server tls":
			own := program.NewCertificate(t, 1)
			own.Write(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
			server := program.Watch(t, cmd, addr)
			server.Base, server.Transport = "https://"+addr, program.Trusting(own)
			server.WaitReady(program.ColdLimit)
		case "":
			runBlock(t, cmd, block)
		default:
			t.Errorf("line %d: a block is %q, want sh, sh server, sh server tls or sh skip: REASON", block.line, block.how)
		}
	}
}

// indentedPages have commands in indented blocks. Most of them are the commands of measurements.
var indentedPages = []string{"docs/measured/benchmarks.md", "docs/measured/serving.md", "docs/use/choosing-a-ratio.md", "docs/understand/pruning.md", "docs/understand/recovery.md"}

// shorter replaces arguments of those commands that take long.
var shorter = strings.NewReplacer("--minutes 15", "--minutes 0.02", "--tokens 24576", "--tokens 1024", "--text-tokens 24576", "--text-tokens 2048",
	"-tokens 24576", "-tokens 1024", "-tokens 8192", "-tokens 1024",
	"--windows 32", "--windows 3", "--windows 48", "--windows 3", "MODEL.gguf", "default",
	"RATE=4.2", "RATE=60", "--rates 0.5", "--rates 20", "--requests 30", "--requests 2", "--requests 25", "--requests 2",
	"--ratios 0.2,0.3,0.4 --plot docs/understand/recovery.svg", "--ratios 0.4 --minutes 0.02 --windows 3 --calibration-tokens 1024 --cache-dir table")

// ownCommand matches the beginning of a line that runs prunellm, or a script that needs no other server and no PyTorch.
var ownCommand = regexp.MustCompile(`^(?:[A-Z]+=(?:"[^"]*"|\S+) )*(?:bin/prunellm|scripts/measure/(?:start-times|shedding|peak-memory|recovery-table|background-latency)) `)

// Our own commands in indented blocks run, on a tiny model and with less text. The tests of bench cover those that name another
// server.
func TestIndentedCommands(t *testing.T) {
	cache := t.TempDir() // as in TestDocumentedCommands
	for _, page := range indentedPages {
		data, err := os.ReadFile(program.Root(t, page))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(page), func(t *testing.T) { runIndentedCommands(t, ownCommands(string(data)), cache) })
	}
}

// ownCommands returns the command lines in a page's indented blocks that match ownCommand, without those that have a placeholder
// for a URL.
func ownCommands(text string) (commands []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		command, indented := strings.CutPrefix(line, "    ")
		if !indented || !ownCommand.MatchString(command) || strings.Contains(command, "URL") || strings.Contains(command, "127.0.0.1:P") {
			continue
		}
		command, _, _ = strings.Cut(command, " #")
		commands = append(commands, shorter.Replace(strings.TrimSpace(command)))
	}
	return commands
}

func runIndentedCommands(t *testing.T, commands []string, cache string) {
	if len(commands) == 0 {
		t.Fatal("no command found")
	}
	dir, home := t.TempDir(), t.TempDir()
	documentHome(t, dir, home)
	for _, command := range commands {
		addr := program.FreeAddr(t)
		command = strings.NewReplacer("127.0.0.1:8092", addr, "127.0.0.1:Q", addr).Replace(command)
		cmd := documentCommand(t, command, dir, home, cache, addr)
		if strings.HasPrefix(command, "bin/prunellm serve") {
			server := program.Watch(t, cmd, addr)
			server.WaitReady(program.ColdLimit)
			if !strings.Contains(command, addr) { // no later command uses the server
				server.Stop()
			}
			continue
		}
		runBlock(t, cmd, shellBlock{script: command})
	}
}

// documentCommand returns a shell command of a page that runs in the folder of documentHome, shortened. All its processes end
// with the test.
func documentCommand(t *testing.T, script, dir, home, cache, addr string) *exec.Cmd {
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PRUNELLM_HOME="+home, "PRUNELLM_CACHE_DIR="+cache, "PRUNELLM_ADDR="+addr, "PRUNELLM_CALIBRATION_TOKENS=1024", "PRUNELLM_REFIT_TOKENS=1024",
		"PRUNELLM_ROUNDS=1", "ROUNDS=1",
		"PRUNELLM_REQUESTS=2", "PRUNELLM_PROMPT_WORDS=20", "PRUNELLM_ANSWER_TOKENS=8", "PRUNELLM_CTX=1024")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	return cmd
}

func runBlock(t *testing.T, cmd *exec.Cmd, block shellBlock) {
	t.Helper()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1) // receives the end of the command, even if nothing waits for it
	go func() { done <- cmd.Wait() }()
	began := time.Now()
	select {
	case err := <-done:
		t.Logf("%.1f s: %s", time.Since(began).Seconds(), strings.TrimSpace(block.script))
		if err != nil {
			t.Errorf("line %d: %v\n%s%s", block.line, err, block.script, output.String())
		}
	case <-time.After(documentLimit):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-done
		t.Errorf("line %d: still running after %v\n%s%s", block.line, documentLimit, block.script, output.String())
	}
}

// documentHome creates the files that the pages assume: the binary, a default model and trained ones, the plugin, texts, docs and
// scripts.
func documentHome(t *testing.T, dir, home string) {
	t.Helper()
	real := os.Getenv("PRUNELLM_HOME")
	program.Need(t, filepath.Join(real, "pjrt"), "make setup")
	for _, folder := range []string{filepath.Join(dir, "bin"), filepath.Join(home, "models")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{filepath.Join(dir, "bin", "prunellm"): program.Path(t), filepath.Join(home, "pjrt"): filepath.Join(real, "pjrt")} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"docs", "scripts"} { // copies, because a command may write to them
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(program.Root(t, folder))); err != nil {
			t.Fatal(err)
		}
	}
	for _, model := range []string{
		filepath.Join(home, "models", filepath.Base(program.DefaultModel(t))), filepath.Join(dir, "recovered.gguf"), filepath.Join(dir, "lora.gguf"),
		filepath.Join(dir, "shape.gguf"),
	} {
		if err := tinymodel.Write(model, tinymodel.Options{FFN: []int{512, 512}, Context: 4096}); err != nil {
			t.Fatal(err)
		}
	}
	prose := strings.Repeat("The river runs past the old mill, and in spring its water turns the wheel again. ", 200)
	for _, name := range []string{"my-text.txt", "text.txt", "calibration.txt", "test.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(prose), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "tokens.json"), []byte(`{"tokens": [[1,2,3,4,5,6,7,8],[8,7,6,5,4,3,2,1]]}`), 0o600); err != nil {
		t.Fatal(err)
	}
}
