package hub

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// preferred lists the types of GGUF files in the order in which to choose one if a repository has several. Types that
// are closer to the original come first, because variants are made from the file.
var preferred = [...]string{"q8_0", "f16", "bf16", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "q4_1", "f32"}

// folderFiles lists the files of a safetensors folder other than its weights.
var folderFiles = [...]string{
	"config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"generation_config.json", "chat_template.jinja", "model.safetensors.index.json",
}

var splitName = regexp.MustCompile(`-[0-9]{5}-of-[0-9]{5}\.gguf$`)

// choose returns the files to download: one GGUF file, or the files of a safetensors folder.
func (i *info) choose(selector string) (files []file, folder bool, err error) {
	var ggufs []file
	for _, f := range i.Files {
		lower := strings.ToLower(f.Name)
		if strings.HasSuffix(lower, ".gguf") && !strings.Contains(lower, "mmproj") && !strings.Contains(lower, "imatrix") {
			ggufs = append(ggufs, f)
		}
	}
	if selector != "" {
		f, err := selected(ggufs, selector)
		return []file{f}, false, err
	}
	if len(ggufs) > 0 {
		f, err := best(ggufs)
		return []file{f}, false, err
	}
	files, err = i.folder()
	return files, true, err
}

// selected returns the GGUF file with that name, or the one whose name ends in that type.
func selected(ggufs []file, selector string) (file, error) {
	var matching []file
	for _, f := range ggufs {
		if f.Name == selector {
			return f, nil
		}
		if hasType(f.Name, selector) {
			matching = append(matching, f)
		}
	}
	if len(matching) != 1 {
		return file{}, fmt.Errorf("%d GGUF files match %q; name one of %s", len(matching), selector, names(ggufs))
	}
	return whole(matching[0])
}

// best returns the only GGUF file, or the first of the preferred types.
func best(ggufs []file) (file, error) {
	if len(ggufs) == 1 {
		return whole(ggufs[0])
	}
	for _, kind := range preferred {
		for _, f := range ggufs {
			if hasType(f.Name, kind) && !splitName.MatchString(f.Name) {
				return f, nil
			}
		}
	}
	return file{}, fmt.Errorf("the repository has several GGUF files; add a colon and one of these names to the reference: %s", names(ggufs))
}

// whole returns an error if the file is part of a split model.
func whole(f file) (file, error) {
	if splitName.MatchString(f.Name) {
		return file{}, fmt.Errorf("%q is part of a model that is split into several files; join them with llama.cpp's gguf-split --merge", f.Name)
	}
	return f, nil
}

// hasType reports whether a file's name ends in a type, such as "model-Q4_K_M.gguf" or "model.f16.gguf".
func hasType(name, kind string) bool {
	stem := strings.TrimSuffix(strings.ToLower(path.Base(name)), ".gguf")
	before, ok := strings.CutSuffix(stem, strings.ToLower(kind))
	return ok && (before == "" || strings.ContainsAny(before[len(before)-1:], "-._"))
}

func names(files []file) string {
	list := make([]string, len(files))
	for i, f := range files {
		list[i] = f.Name
	}
	slices.Sort(list)
	if len(list) > 20 {
		list = append(list[:20], "...")
	}
	return strings.Join(list, ", ")
}

// folder lists the files of a safetensors folder.
func (i *info) folder() ([]file, error) {
	var files []file
	weights, config := 0, false
	for _, f := range i.Files {
		if strings.HasSuffix(f.Name, ".safetensors") && !strings.Contains(f.Name, "/") && !strings.HasPrefix(f.Name, "consolidated") {
			files, weights = append(files, f), weights+1
		}
		if slices.Contains(folderFiles[:], f.Name) {
			files = append(files, f)
			config = config || f.Name == "config.json"
		}
	}
	if weights == 0 || !config {
		return nil, errors.New("the repository has neither a GGUF file nor config.json with .safetensors files")
	}
	return files, nil
}
