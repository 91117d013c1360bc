package hffolder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"prunellm/convert"
	"prunellm/internal/regularfile"
	"prunellm/models"
	"prunellm/models/arch"
	"prunellm/models/gguf"
	"prunellm/models/safetensors"
)

// Options are the options of FromGGUF.
type Options struct {
	// Source is the safetensors folder of the dense model. FromGGUF copies its tokenizer files, and its config.json
	// with the new width and type. If Source is "", FromGGUF rebuilds both from the GGUF file's metadata.
	Source string
	// Codec decodes quantized tensors.
	Codec convert.Codec
	// Type is the type in which to write every tensor: F32, F16 or BF16.
	Type gguf.Type
	// ModelCard is the content of the folder's README.md. If it is nil, there is no such file.
	ModelCard []byte
}

var dtypes = map[gguf.Type]safetensors.DType{gguf.F32: safetensors.F32, gguf.F16: safetensors.F16, gguf.BF16: safetensors.BF16}

// torchNames maps types to their names in PyTorch.
var torchNames = map[gguf.Type]string{gguf.F32: "float32", gguf.F16: "float16", gguf.BF16: "bfloat16"}

// FromGGUF writes a model as a safetensors folder that transformers and vLLM load. It writes the whole folder or
// nothing; an existing folder must be empty. A model whose layers have different MLP widths needs trust_remote_code in
// both programs, because its folder holds the classes that read the widths (perlayer.go). ToGGUF cannot read such a
// folder.
func FromGGUF(ctx context.Context, model *models.GGUF, dir string, options Options) (err error) {
	wrap := func(err error) error { return fmt.Errorf("write folder %q: %w", dir, err) }
	if _, ok := dtypes[options.Type]; !ok {
		return wrap(fmt.Errorf("%w: cannot write type %s; use f32, f16 or bf16", models.ErrUnsupported, options.Type))
	}
	if err := CheckWidths(model.Config()); err != nil {
		return wrap(err)
	}
	if err := CheckTarget(dir); err != nil {
		return err
	}
	files, err := textFiles(model, options)
	if err != nil {
		return wrap(err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".folder-")
	if err != nil {
		return wrap(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(temp, name), data, 0o644); err != nil {
			return wrap(err)
		}
	}
	if err := writeWeights(ctx, model, filepath.Join(temp, weightsFile), options); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return wrap(err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return wrap(err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return wrap(err)
	}
	return nil
}

// CheckTarget returns an error unless dir does not exist or is an empty folder.
func CheckTarget(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("output folder: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("output folder %q is not empty; name another folder", dir)
	}
	return nil
}

// copied lists the files that FromGGUF copies from a source folder if they exist.
var copied = []string{
	tokenizerFile, sentencePieceFile, tokenizerConfigFile, specialTokensFile, addedTokensFile, generationFile, templateFile, "vocab.json", "merges.txt",
}

// textFiles returns the contents of all files except the weights, by file name.
func textFiles(model *models.GGUF, options Options) (map[string][]byte, error) {
	files, err := sourceFiles(model, options)
	if err != nil {
		return nil, err
	}
	if _, uniform := model.Config().UniformWidth(); !uniform {
		classes, err := perLayerFiles()
		if err != nil {
			return nil, err
		}
		maps.Copy(files, classes)
	}
	if options.ModelCard != nil {
		files[modelCardFile] = options.ModelCard
	}
	return files, nil
}

// sourceFiles returns config.json and the tokenizer files, from the source folder if there is one, otherwise rebuilt.
func sourceFiles(model *models.GGUF, options Options) (map[string][]byte, error) {
	if options.Source == "" {
		return rebuilt(model, options.Type)
	}
	data, err := regularfile.Read(filepath.Join(options.Source, configFile), maxConfigBytes)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	if files[configFile], err = changedConfig(data, model.Config(), options.Type); err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	for _, name := range copied {
		data, err := regularfile.Read(filepath.Join(options.Source, name), maxTokenizerBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return files, nil
}

func writeWeights(ctx context.Context, model *models.GGUF, path string, options Options) error {
	c := model.Config()
	var sources []safetensors.Source
	for _, slot := range c.Slots() {
		name := tensorName(c, slot)
		if name == "" {
			continue
		}
		info, ok := model.TensorInfo(slot)
		if !ok {
			return fmt.Errorf("tensor %q: %w", slot.Name(), models.ErrNoTensor)
		}
		reorder := c.RoPELayout == arch.RoPEPairs && c.RotatedHeads(slot.Role) > 0
		sources = append(sources, safetensors.Source{
			Name: name, DType: dtypes[options.Type], Shape: info.Shape,
			Write: func(ctx context.Context, w io.Writer) error {
				return copyTensor(ctx, w, model.File(), info, options, tensorChange{reorder, c.HeadDim, normOffset(c, slot.Role)})
			},
		})
	}
	return safetensors.Write(ctx, path, sources, map[string]string{"format": "pt"})
}

// copyValues is about how many values copyTensor converts at a time.
const copyValues = 1 << 20

// tensorChange says how the values of a tensor in a folder differ from those in a GGUF file.
type tensorChange struct {
	reorder bool // the rows of each head of headDim rows are in RoPEHalves instead of RoPEPairs
	headDim int
	offset  float32 // is added to each value
}

// copyTensor converts a tensor to the type of the options, changes it and writes it, in chunks of whole rows.
func copyTensor(ctx context.Context, w io.Writer, file *gguf.File, info gguf.TensorInfo, options Options, change tensorChange) error {
	reorder, headDim := change.reorder, change.headDim
	rowLen := info.RowLength()
	if len(info.Shape) == 1 && reorder {
		rowLen = 1 // a bias or norm has one value for each row of a head
	}
	rows := int(info.Elements() / int64(rowLen))
	rowBytes := info.Size / int64(rows)
	unit := 1 // the number of rows in a chunk is a multiple of unit
	if reorder {
		unit = headDim
	}
	step := max(1, copyValues/rowLen/unit) * unit
	for from := 0; from < rows; from += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+step, rows)
		raw, err := file.ReadRange(info, int64(from)*rowBytes, int64(to)*rowBytes)
		if err != nil {
			return err
		}
		if reorder {
			raw = changeLayout(raw, int(rowBytes), arch.RoPEPairs, headDim)
		}
		if info.Type != options.Type || change.offset != 0 {
			values, err := models.DequantizeWith(options.Codec.Dequantize, info.Type, raw, (to-from)*rowLen)
			if err != nil {
				return err
			}
			addTo(values, change.offset)
			if raw, err = gguf.EncodeFloats(options.Type, values); err != nil {
				return err
			}
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
	}
	return nil
}
